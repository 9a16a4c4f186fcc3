/* The state of a widget, which its model shares with Python. */

/* Change traits; return whether Python can be told. Without its kernel, a front end goes on with what it has. */
export function saved(model, changes) {
  for (const [name, value] of Object.entries(changes)) model.set(name, value);
  try {
    model.save_changes();
  } catch {
    return false;
  }
  return true;
}
