import {
  infoAddress,
  infoCode,
  infoPid,
  infoUid,
  SI_STATUS,
  SI_VALUE,
  type SigInfo,
} from '../signals/sigInfo.js';
import {
  SA_NOCLDSTOP,
  SA_NOCLDWAIT,
  SA_NODEFER,
  SA_ONSTACK,
  SA_RESETHAND,
  SA_RESTART,
  SA_SIGINFO,
  SI_KERNEL,
  SI_QUEUE,
  SI_TIMER,
  SI_TKILL,
  SI_USER,
  SIGBUS,
  SIGCHLD,
  SIGFPE,
  SIGILL,
  SIGSEGV,
  SIGTRAP,
} from '../signals/signalNumbers.js';
import { freebsdSignal } from './signalNumbers.js';

/** Layouts of FreeBSD's signal structures on RISC-V 64 (sys/signal.h, machine/ucontext.h), and their translation. */

/** struct sigaction. */
export const Sigaction = { handler: 0, flags: 8, mask: 12, SIZE: 32 } as const;
/** stack_t: unlike Linux's, the size comes before the flags. */
export const StackT = { sp: 0, size: 8, flags: 16, SIZE: 24 } as const;
export const SS_ONSTACK = 1;
export const SS_DISABLE = 4;
export const MINSIGSTKSZ = 4096;
export const SIGSET_SIZE = 16;
export const SIGINFO_SIZE = 80;

/** ucontext_t. */
export const Ucontext = { sigmask: 0, mcontext: 16, link: 880, stack: 888, flags: 912, SIZE: 944 } as const;
/** mcontext_t: ra, sp, gp, tp, t0 … t6, s0 … s11, a0 … a7, sepc, sstatus; 32 floating-point registers of 16 bytes; fcsr. */
export const Mcontext = {
  sepc: 31 * 8,
  sstatus: 32 * 8,
  f: 33 * 8,
  fcsr: 33 * 8 + 512,
  flags: 33 * 8 + 528,
} as const;
/** The registers x1 … x31 in the order of mcontext_t. */
export const MCONTEXT_ORDER = [
  1, 2, 3, 4, 5, 6, 7, 28, 29, 30, 31, 8, 9, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 10, 11, 12, 13, 14, 15,
  16, 17,
] as const;
/** mc_flags: the floating-point registers are there. */
export const MC_FP_VALID = 1;
/** struct sigframe. */
export const Sigframe = { info: 0, ucontext: SIGINFO_SIZE, SIZE: SIGINFO_SIZE + Ucontext.SIZE } as const;

/** SA_* of FreeBSD by Linux's. */
const SA_FLAGS = [
  [SA_ONSTACK, 0x01],
  [SA_RESTART, 0x02],
  [SA_RESETHAND, 0x04],
  [SA_NOCLDSTOP, 0x08],
  [SA_NODEFER, 0x10],
  [SA_NOCLDWAIT, 0x20],
  [SA_SIGINFO, 0x40],
] as const;

export function linuxActionFlags(freebsd: number): number {
  return SA_FLAGS.reduce((flags, [linux, bit]) => (freebsd & bit ? flags | linux : flags), 0) >>> 0;
}

export function freebsdActionFlags(linux: number): number {
  return SA_FLAGS.reduce((flags, [bit, freebsd]) => (linux & bit ? flags | freebsd : flags), 0);
}

/** si_code of signals that are sent. */
const CODES = new Map([
  [SI_USER, 0x10001],
  [SI_QUEUE, 0x10002],
  [SI_TIMER, 0x10003],
  [SI_KERNEL, 0x10006],
  [SI_TKILL, 0x10007],
]);
/** The signals of faults, whose siginfo has an address. */
const FAULTS: readonly number[] = [SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGFPE];
/** Beyond the end of a mapped file: Linux's BUS_ADRERR is FreeBSD's BUS_OBJERR. */
const BUS_ADRERR = 2;
const BUS_OBJERR = 3;

/** FreeBSD's siginfo_t of Linux's, for Linux's signal `signal`. */
export function freebsdSigInfo(signal: number, info: SigInfo): Uint8Array {
  const bytes = new Uint8Array(SIGINFO_SIZE);
  const to = new DataView(bytes.buffer);
  const from = new DataView(info.buffer, info.byteOffset, info.byteLength);
  const code = infoCode(info);
  to.setInt32(0, freebsdSignal(signal), true);
  to.setInt32(8, CODES.get(code) ?? (signal === SIGBUS && code === BUS_ADRERR ? BUS_OBJERR : code), true);
  if (FAULTS.includes(signal) && code > 0 && code < SI_KERNEL) {
    to.setBigUint64(24, infoAddress(info), true);
    return bytes;
  }
  to.setInt32(12, infoPid(info), true);
  to.setUint32(16, infoUid(info), true);
  if (signal === SIGCHLD && code > 0) {
    const status = from.getInt32(SI_STATUS, true);
    to.setInt32(20, code === 1 ? status : freebsdSignal(status), true);
  } else to.setBigUint64(32, from.getBigUint64(SI_VALUE, true), true);
  return bytes;
}
