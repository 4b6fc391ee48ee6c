import { sendToSelf } from '../signals/sendToSelf.js';
import { SIGPIPE, SIGXFSZ } from '../signals/signalNumbers.js';
import type { ThreadContext } from '../threadContext.js';

/** A write to something that nobody reads any more: SIGPIPE for the calling thread (the write itself gives EPIPE). */
export function raiseBrokenPipe(t: ThreadContext): void {
  sendToSelf(t, SIGPIPE);
}

/** A write beyond RLIMIT_FSIZE: SIGXFSZ for the calling thread (the write itself gives EFBIG). */
export function raiseFileTooLarge(t: ThreadContext): void {
  sendToSelf(t, SIGXFSZ);
}
