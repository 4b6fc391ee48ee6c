import {
  infoCode,
  infoSignal,
  SI_ADDR,
  SI_OVERRUN,
  SI_PID,
  SI_STATUS,
  SI_TIMERID,
  SI_UID,
  SI_UTIME,
  SI_VALUE,
  type SigInfo,
} from './sigInfo.js';
import { SI_TIMER, SIGBUS, SIGCHLD, SIGFPE, SIGILL, SIGSEGV, SIGTRAP } from './signalNumbers.js';

/** Size of struct signalfd_siginfo (include/uapi/linux/signalfd.h), and offsets of its fields. */
export const SIGNALFD_INFO_SIZE = 128;
const SSI_SIGNO = 0;
const SSI_CODE = 8;
const SSI_PID = 12;
const SSI_UID = 16;
const SSI_TID = 24;
const SSI_OVERRUN = 32;
const SSI_STATUS = 40;
const SSI_INT = 44;
const SSI_PTR = 48;
const SSI_UTIME = 56;
const SSI_STIME = 64;
const SSI_ADDR = 72;

const FAULTS: readonly number[] = [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV];

/** What read(2) of a signalfd tells of a signal (signalfd_copyinfo): which fields count depends on signal and code. */
export function signalFdInfo(info: SigInfo): Uint8Array {
  const from = new DataView(info.buffer, info.byteOffset);
  const bytes = new Uint8Array(SIGNALFD_INFO_SIZE);
  const to = new DataView(bytes.buffer);
  const signal = infoSignal(info);
  const code = infoCode(info);
  to.setInt32(SSI_SIGNO, signal, true);
  to.setInt32(SSI_CODE, code, true);
  // Codes of the kernel itself (positive, not SI_KERNEL) depend on the signal.
  if (code > 0 && code < 0x80 && FAULTS.includes(signal)) {
    to.setBigUint64(SSI_ADDR, from.getBigUint64(SI_ADDR, true), true);
    return bytes;
  }
  if (code === SI_TIMER) {
    to.setUint32(SSI_TID, from.getUint32(SI_TIMERID, true), true);
    to.setUint32(SSI_OVERRUN, from.getUint32(SI_OVERRUN, true), true);
  } else {
    to.setUint32(SSI_PID, from.getUint32(SI_PID, true), true);
    to.setUint32(SSI_UID, from.getUint32(SI_UID, true), true);
    if (code > 0 && code < 0x80 && signal === SIGCHLD) {
      to.setInt32(SSI_STATUS, from.getInt32(SI_STATUS, true), true);
      to.setBigUint64(SSI_UTIME, from.getBigUint64(SI_UTIME, true), true);
      to.setBigUint64(SSI_STIME, from.getBigUint64(SI_UTIME + 8, true), true);
      return bytes;
    }
    if (code >= 0) return bytes;
  }
  to.setInt32(SSI_INT, from.getInt32(SI_VALUE, true), true);
  to.setBigUint64(SSI_PTR, from.getBigUint64(SI_VALUE, true), true);
  return bytes;
}
