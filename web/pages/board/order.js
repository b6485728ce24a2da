/** Tasks as shown: open ones first, newest on top; then the done ones, the last change on top. */
export function ordered(tasks) {
  const born = (task) => task.createdAt ?? task.updatedAt ?? "";
  const newest = (a, b, left, right) => (left < right ? 1 : left > right ? -1 : b.taskId - a.taskId);
  const open = [];
  const done = [];
  for (const task of tasks.values()) (task.completed ? done : open).push(task);
  open.sort((a, b) => newest(a, b, born(a), born(b)));
  done.sort((a, b) => newest(a, b, a.updatedAt ?? "", b.updatedAt ?? ""));
  return { open, done };
}
