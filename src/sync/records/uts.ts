import { Mutex } from '../mutex.js';
import { array, embedded, record, u8 } from '../record.js';

/** Longest host name (__NEW_UTS_LEN). */
export const UTS_LENGTH = 64;

/** Names of the machine that guests may change (Linux: uts_namespace); Machine.uts. */
export const Uts = record({
  lock: embedded(Mutex),
  /** Ended by NUL; lock. */
  nodename: array(u8, UTS_LENGTH + 1),
  domainname: array(u8, UTS_LENGTH + 1),
});
