/* The traits of a widget, which its model shares with Python. */

/* Change traits; return whether the kernel can be reached. Without it, a front end goes on with what it has. */
export function saved(model, changes) {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  try {
    model.save_changes();
  } catch {
    return false;
  }
  return true;
}
