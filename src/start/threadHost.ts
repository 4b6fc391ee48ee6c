import type threadHostTask from '../../workers/threadHost.js';
import type { HostTask } from '../machine/hostControl.js';
import { isTraining, loadCompiled } from './compiledCode.js';

/**
 * The entry of a thread host's worker in a built Guesthouse (bundled as dist/bundle/threadHost.cjs). Compared with importing
 * the bundle as a module, a worker is ready after a fraction of the CPU time.
 */
const { exports, keep } = loadCompiled<{ default: typeof threadHostTask }>('threadHostCode');

export default isTraining()
  ? async (task: HostTask): Promise<void> => {
      await exports.default(task);
      // Workers that end at the same time would write into the same file.
      if (task.index === 0) keep();
    }
  : exports.default;
