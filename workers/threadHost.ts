import { type Endpoint, wrap } from 'comlink';
import { createEngine } from '../src/jit/engine.js';
import { createThreadRunner } from '../src/kernel/execution.js';
import { setStreamDoorbell } from '../src/kernel/files/streamRequests.js';
import { createHotCalls } from '../src/kernel/hotCalls/hotCalls.js';
import { ThreadContext } from '../src/kernel/threadContext.js';
import type { HostControl, HostTask } from '../src/machine/hostControl.js';
import { regionObservers } from '../src/observe/regionObservers.js';
import { ringDoorbell } from '../src/sync/doorbell.js';
import { becomeHost, firstThread, nextThread, setHostDoorbell } from '../src/sync/hosts.js';
import { SharedMemory } from '../src/sync/sharedMemory.js';

/**
 * A thread host: one long-lived task of the machine's Piscina pool. It parks in shared memory, runs each guest thread
 * handed to it until that ends or waits without a host, and leaves when the machine closes. While it is in here its event loop does not turn; the
 * control port speaks before the first thread and after the last.
 */
export default async function threadHost(task: HostTask): Promise<void> {
  const started = performance.now();
  const mem = new SharedMemory(task.memory);
  const control = wrap<HostControl>(task.control as unknown as Endpoint);
  const ring = (): void => ringDoorbell(mem, () => task.doorbell.postMessage(1));
  setStreamDoorbell(ring);
  setHostDoorbell(mem, ring);
  becomeHost(task.host);
  const context = new ThreadContext(mem, ring, true);
  const { systemCall, finishWait } = createHotCalls(context, (wait) => engine.rest(wait));
  const engine = createEngine(mem, task.interpreter, ring, task.host, regionObservers(mem), systemCall);
  const runner = createThreadRunner({ context, engine, host: task.host, finishWait });
  // The answer is read when the host leaves: waiting for it here would delay the first thread by the main thread's work.
  const greeted = control.hostStarted(task.index, performance.now() - started);
  let thread = firstThread(mem, task.host);
  while (thread !== 0) {
    const ended = runner.run(thread);
    thread = nextThread(mem, task.host, ended);
  }
  runner.close();
  await greeted;
  await control.hostEnding(task.index);
  task.control.close();
  task.doorbell.close();
}
