import { withMutex } from '../sync/mutex.js';
import { Files, Fs } from '../sync/records/files.js';
import { Guest } from '../sync/records/guest.js';
import { Thread } from '../sync/records/thread.js';
import { copyFiles, releaseFiles } from './files/filesTable.js';
import { copyFs, releaseFs } from './files/fsRecord.js';
import type { ThreadContext } from './threadContext.js';

/** Sets a pointer of the thread's record, which /proc looks at under Guest.threadsLock. */
function change(t: ThreadContext, field: number, record: number): void {
  const { mem, guest, thread } = t;
  withMutex(mem, guest + Guest.threadsLock, thread, () => mem.setU32(thread + field, record));
  t.reload();
}

/** The thread goes on with a descriptor table of its own (unshare(2), CLOSE_RANGE_UNSHARE). */
export function unshareFiles(t: ThreadContext): void {
  const { mem, thread, files } = t;
  if (mem.atomicLoad(files + Files.refs) === 1) return;
  change(t, Thread.files, copyFiles(mem, files, thread));
  releaseFiles(mem, files, thread);
}

/** The thread goes on with a working directory and umask of its own. */
export function unshareFs(t: ThreadContext): void {
  const { mem, thread, fs } = t;
  if (mem.atomicLoad(fs + Fs.refs) === 1) return;
  change(t, Thread.fs, copyFs(mem, fs, thread));
  releaseFs(mem, fs, thread);
}
