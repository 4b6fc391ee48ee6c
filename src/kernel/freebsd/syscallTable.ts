import type { SyscallEntry, SyscallTable } from '../linux/syscall.js';
import { fileCalls } from './fileCalls.js';
import { kqueueCalls } from './kqueueCalls.js';
import { memoryCalls } from './memoryCalls.js';
import { pathCalls } from './pathCalls.js';
import { processCalls } from './processCalls.js';
import { signalCalls } from './signalCalls.js';
import { systemCalls } from './systemCalls.js';
import { threadCalls } from './threadCalls.js';
import { timeCalls } from './timeCalls.js';

/** The system calls of FreeBSD, each topic in a file of its own; a number without an entry gives ENOSYS. */
const topics: readonly SyscallTable[] = [
  fileCalls,
  kqueueCalls,
  memoryCalls,
  pathCalls,
  processCalls,
  signalCalls,
  systemCalls,
  threadCalls,
  timeCalls,
];

/** Entries by number. */
export const freebsdSyscalls: readonly (SyscallEntry | undefined)[] = merge(topics);

function merge(tables: readonly SyscallTable[]): (SyscallEntry | undefined)[] {
  const entries: (SyscallEntry | undefined)[] = new Array(640).fill(undefined);
  for (const table of tables) {
    for (const [number, entry] of Object.entries(table)) {
      if (entries[Number(number)] !== undefined) throw new Error(`system call ${number} is declared twice`);
      entries[Number(number)] = entry;
    }
  }
  return entries;
}
