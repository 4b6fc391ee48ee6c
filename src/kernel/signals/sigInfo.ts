import { SI_TIMER } from './signalNumbers.js';

/**
 * siginfo_t as the guest sees it: 128 bytes, si_signo, si_errno and si_code as int at 0, 4 and 8, then a union at 16
 * (include/uapi/asm-generic/siginfo.h). It travels as those bytes from whoever sends the signal to the handler's frame.
 */
export type SigInfo = Uint8Array;

export const SIGINFO_SIZE = 128;
/** Offsets within siginfo_t. */
export const SI_SIGNO = 0;
export const SI_CODE = 8;
export const SI_PID = 16;
export const SI_UID = 20;
export const SI_ADDR = 16;
export const SI_VALUE = 24;
export const SI_BAND = 16;
export const SI_FD = 24;
export const SI_STATUS = 24;
export const SI_UTIME = 32;
export const SI_TIMERID = 16;
export const SI_OVERRUN = 20;

function begin(signal: number, code: number): { info: SigInfo; view: DataView } {
  const info = new Uint8Array(SIGINFO_SIZE);
  const view = new DataView(info.buffer);
  view.setInt32(SI_SIGNO, signal, true);
  view.setInt32(SI_CODE, code, true);
  return { info, view };
}

/** A signal of kill, tgkill, … or of the kernel itself (SI_KERNEL with pid 0). */
export function sentInfo(signal: number, code: number, pid: number, uid: number): SigInfo {
  const { info, view } = begin(signal, code);
  view.setInt32(SI_PID, pid, true);
  view.setUint32(SI_UID, uid, true);
  return info;
}

/** A fault at guest address `address` (a number, or exact as bigint). */
export function faultInfo(signal: number, code: number, address: bigint): SigInfo {
  const { info, view } = begin(signal, code);
  view.setBigUint64(SI_ADDR, BigInt.asUintN(64, address), true);
  return info;
}

/** An expired timer of timer_create; `value` is its sigev_value. */
export function timerInfo(signal: number, id: number, value: bigint): SigInfo {
  const { info, view } = begin(signal, SI_TIMER);
  view.setInt32(SI_TIMERID, id, true);
  view.setBigUint64(SI_VALUE, value, true);
  return info;
}

/** A signal with a value: of a message queue, whose last sender is told. */
export function queuedInfo(signal: number, code: number, pid: number, uid: number, value: bigint): SigInfo {
  const info = sentInfo(signal, code, pid, uid);
  view(info).setBigUint64(SI_VALUE, value, true);
  return info;
}

/** A signal about descriptor `fd` (F_SETSIG): `code` is POLL_*, `band` the events. */
export function bandInfo(signal: number, code: number, band: number, fd: number): SigInfo {
  const { info, view } = begin(signal, code);
  view.setBigInt64(SI_BAND, BigInt(band), true);
  view.setInt32(SI_FD, fd, true);
  return info;
}

/** SIGCHLD about child `pid`: `status` is its exit code or a signal, times are ticks of 10 ms. */
export function childInfo(
  signal: number,
  code: number,
  pid: number,
  uid: number,
  status: number,
  userTicks: number,
): SigInfo {
  const { info, view } = begin(signal, code);
  view.setInt32(SI_PID, pid, true);
  view.setUint32(SI_UID, uid, true);
  view.setInt32(SI_STATUS, status, true);
  view.setBigInt64(SI_UTIME, BigInt(Math.floor(userTicks)), true);
  return info;
}

/** si_signo, si_code and the address or sender of a siginfo. */
export function infoSignal(info: SigInfo): number {
  return view(info).getInt32(SI_SIGNO, true);
}
export function infoCode(info: SigInfo): number {
  return view(info).getInt32(SI_CODE, true);
}
export function infoAddress(info: SigInfo): bigint {
  return view(info).getBigUint64(SI_ADDR, true);
}
export function infoPid(info: SigInfo): number {
  return view(info).getInt32(SI_PID, true);
}
export function infoUid(info: SigInfo): number {
  return view(info).getUint32(SI_UID, true);
}
export function setInfoOverrun(info: SigInfo, overrun: number): void {
  view(info).setInt32(SI_OVERRUN, overrun, true);
}

function view(info: SigInfo): DataView {
  return new DataView(info.buffer, info.byteOffset, info.byteLength);
}
