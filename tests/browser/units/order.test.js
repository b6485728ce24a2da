import { ordered } from "/board/order.js";
import { equal, test } from "../sdk/harness.js";

test("open tasks stand newest first, done ones by their last change", () => {
  const task = (taskId, createdAt, updatedAt, completed) => [taskId, { taskId, createdAt, updatedAt, completed }];
  const { open, done } = ordered(new Map([
    task(1, "a", "z", false), task(2, "b", "b", false), task(3, "a", "b", true), task(4, "b", "a", true), task(5, "b", "c", null), task(6, null, "bb", undefined),
  ]));
  equal(open.map((one) => one.taskId), [6, 5, 2, 1]);
  equal(done.map((one) => one.taskId), [3, 4]);
});
