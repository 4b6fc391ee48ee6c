import { readCString, readU32, readU64, UserFault, write64 } from '../../memory/userAccess.js';
import { targetBrk } from '../../mm/targetBrk.js';
import { Mm } from '../../sync/records/mm.js';
import { Thread } from '../../sync/records/thread.js';
import type { ThreadContext } from '../threadContext.js';
import { SYS_exit_group, SYS_write } from './syscallNumbers.js';
import { linuxSyscalls } from './syscallTable.js';

/**
 * Semihosting (RISC-V Semihosting 1.0; Arm's operations): what a program for bare hardware asks of its debugger. The kernel knows
 * nothing of it, but nobody writes an ebreak between these two hints for anything else, and QEMU's user mode serves them, too
 * (linux-user/riscv/cpu_loop.c, semihosting/arm-compat-semi.c). Only the console, the heap and the program's end: other operations
 * return -1, as those that have failed.
 */

const SLLI_ZERO_31 = 0x01f01013;
const EBREAK = 0x00100073;
const SRAI_ZERO_7 = 0x40705013;

const SYS_WRITEC = 0x03;
const SYS_WRITE0 = 0x04;
const SYS_HEAPINFO = 0x16;
const SYS_EXIT = 0x18;
const SYS_EXIT_EXTENDED = 0x20;

const ADP_STOPPED_APPLICATION_EXIT = 0x20026;
const STDERR = 2;
const HEAP_SIZE = 128 * 2 ** 20;
const LONGEST_STRING = 65536;
const A0 = 10;
const A1 = 11;

/** Serves the ebreak at the pc if it is a semihosting call: its result goes to a0, and the pc past it. Says whether it is one. */
export function semihostingCall(t: ThreadContext): boolean {
  const { mem, thread } = t;
  const pc = mem.getU64(thread + Thread.pc);
  try {
    const around = [SLLI_ZERO_31, EBREAK, SRAI_ZERO_7];
    if (!around.every((word, i) => readU32(t, pc + (i - 1) * 4) === word)) return false;
    const operation = mem.getU32(thread + Thread.x + A0 * 8);
    const result = serve(t, operation, mem.getU64(thread + Thread.x + A1 * 8));
    mem.set64(thread + Thread.x + A0 * 8, result);
  } catch (error) {
    if (!(error instanceof UserFault)) throw error;
    return false;
  }
  mem.set64(thread + Thread.pc, pc + 4);
  return true;
}

function serve(t: ThreadContext, operation: number, parameter: number): number {
  switch (operation) {
    case SYS_WRITEC:
      return call(t, SYS_write, STDERR, parameter, 1);
    case SYS_WRITE0: {
      const length = readCString(t, parameter, LONGEST_STRING)?.length ?? LONGEST_STRING;
      return call(t, SYS_write, STDERR, parameter, length);
    }
    case SYS_HEAPINFO: {
      const { mem, mm } = t;
      const block = readU64(t, parameter);
      const base = targetBrk(t, 0);
      let limit = base + HEAP_SIZE;
      while (limit > base && targetBrk(t, limit) < limit) limit = base + Math.floor((limit - base) / 2);
      // The heap, from where to where, and the stack, whose end is unknown.
      [base, limit, mem.getU64(mm + Mm.startStack), 0].forEach((value, i) => {
        write64(t, block + i * 8, value);
      });
      return 0;
    }
    case SYS_EXIT:
    case SYS_EXIT_EXTENDED: {
      const isExit = readU64(t, parameter) === ADP_STOPPED_APPLICATION_EXIT;
      return call(t, SYS_exit_group, isExit ? readU64(t, parameter + 8) & 0xff : 1);
    }
    default:
      return -1;
  }
}

function call(t: ThreadContext, number: number, a0: number, a1 = 0, a2 = 0): number {
  return linuxSyscalls[number]!.handler(t, a0, a1, a2, 0, 0, 0);
}
