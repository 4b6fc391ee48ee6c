/** Signals of Linux on RISC-V (asm-generic/signal.h): numbers, names, default actions, and sets of them. */
export const SIGHUP = 1;
export const SIGINT = 2;
export const SIGQUIT = 3;
export const SIGILL = 4;
export const SIGTRAP = 5;
export const SIGABRT = 6;
export const SIGBUS = 7;
export const SIGFPE = 8;
export const SIGKILL = 9;
export const SIGUSR1 = 10;
export const SIGSEGV = 11;
export const SIGUSR2 = 12;
export const SIGPIPE = 13;
export const SIGALRM = 14;
export const SIGTERM = 15;
export const SIGSTKFLT = 16;
export const SIGCHLD = 17;
export const SIGCONT = 18;
export const SIGSTOP = 19;
export const SIGTSTP = 20;
export const SIGTTIN = 21;
export const SIGTTOU = 22;
export const SIGURG = 23;
export const SIGXCPU = 24;
export const SIGXFSZ = 25;
export const SIGVTALRM = 26;
export const SIGPROF = 27;
export const SIGWINCH = 28;
export const SIGIO = 29;
export const SIGPWR = 30;
export const SIGSYS = 31;
/** First real-time signal: queued, not merged. */
export const SIGRTMIN = 32;

export const SIG_DFL = 0;
export const SIG_IGN = 1;

export const SA_NOCLDSTOP = 0x1;
export const SA_NOCLDWAIT = 0x2;
export const SA_SIGINFO = 0x4;
export const SA_ONSTACK = 0x0800_0000;
export const SA_RESTART = 0x1000_0000;
export const SA_NODEFER = 0x4000_0000;
export const SA_RESETHAND = 0x8000_0000;
/** The flags the kernel keeps (UAPI_SA_FLAGS, with SA_UNSUPPORTED and SA_EXPOSE_TAGBITS cleared). */
export const SA_KNOWN = 0xd800_0007;

/** siginfo_t.si_code. */
export const SI_USER = 0;
export const SI_KERNEL = 0x80;
export const SI_QUEUE = -1;
export const SI_TIMER = -2;
export const SI_MESGQ = -3;
export const SI_TKILL = -6;
export const ILL_ILLOPC = 1;
export const TRAP_BRKPT = 1;
export const SEGV_MAPERR = 1;
export const SEGV_ACCERR = 2;
export const BUS_ADRALN = 1;
export const BUS_ADRERR = 2;
export const CLD_EXITED = 1;
export const CLD_KILLED = 2;
export const CLD_DUMPED = 3;
export const CLD_STOPPED = 5;
export const CLD_CONTINUED = 6;

const NAMES =
  'HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS'.split(
    ' ',
  );

/** "SIGSEGV", "SIGRT_3". */
export function signalName(signal: number): string {
  if (signal >= 1 && signal <= NAMES.length) return `SIG${NAMES[signal - 1]}`;
  return signal >= SIGRTMIN && signal <= 64 ? `SIGRT_${signal - SIGRTMIN}` : String(signal);
}

export type DefaultAction = 'terminate' | 'core' | 'ignore' | 'stop' | 'continue';

/** What SIG_DFL does: signal(7). */
export function defaultAction(signal: number): DefaultAction {
  switch (signal) {
    case SIGCHLD:
    case SIGURG:
    case SIGWINCH:
      return 'ignore';
    case SIGCONT:
      return 'continue';
    case SIGSTOP:
    case SIGTSTP:
    case SIGTTIN:
    case SIGTTOU:
      return 'stop';
    case SIGQUIT:
    case SIGILL:
    case SIGTRAP:
    case SIGABRT:
    case SIGBUS:
    case SIGFPE:
    case SIGSEGV:
    case SIGXCPU:
    case SIGXFSZ:
    case SIGSYS:
      return 'core';
    default:
      return 'terminate';
  }
}

/** Bit of a signal in the low word (1–32) of a set, else 0. */
export function lowBit(signal: number): number {
  return signal <= 32 ? 1 << (signal - 1) : 0;
}

/** Bit of a signal in the high word (33–64) of a set, else 0. */
export function highBit(signal: number): number {
  return signal > 32 ? 1 << (signal - 33) : 0;
}

/** SIGKILL and SIGSTOP, which nobody blocks, catches or ignores (both are in the low word). */
export const UNBLOCKABLE_LOW = (1 << (SIGKILL - 1)) | (1 << (SIGSTOP - 1));
/** Stop signals of the low word: SIGCONT takes them back. */
export const STOP_LOW =
  (1 << (SIGSTOP - 1)) | (1 << (SIGTSTP - 1)) | (1 << (SIGTTIN - 1)) | (1 << (SIGTTOU - 1));
/** Synchronous signals, which are taken before any other (SYNCHRONOUS_MASK). */
export const SYNCHRONOUS_LOW =
  (1 << (SIGSEGV - 1)) |
  (1 << (SIGBUS - 1)) |
  (1 << (SIGILL - 1)) |
  (1 << (SIGTRAP - 1)) |
  (1 << (SIGFPE - 1)) |
  (1 << (SIGSYS - 1));

/** The number of a signal given by number or name ("SIGTERM"); undefined for one that does not exist. */
export function signalNumber(signal: number | string): number | undefined {
  const found = typeof signal === 'number' ? signal : NAMES.indexOf(signal.replace(/^SIG/, '')) + 1;
  return Number.isInteger(found) && found >= 1 && found <= 64 ? found : undefined;
}
