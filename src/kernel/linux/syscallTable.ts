import { attributeCalls } from './attributeCalls.js';
import { capabilityCalls } from './capabilityCalls.js';
import { fileCalls } from './fileCalls.js';
import { futexCalls } from './futexCalls.js';
import { inotifyCalls } from './inotifyCalls.js';
import { limitCalls } from './limitCalls.js';
import { memoryCalls } from './memoryCalls.js';
import { messageQueueCalls } from './messageQueueCalls.js';
import { namespaceCalls } from './namespaceCalls.js';
import { pathCalls } from './pathCalls.js';
import { pidFdCalls } from './pidFdCalls.js';
import { pollCalls } from './pollCalls.js';
import { posixQueueCalls } from './posixQueueCalls.js';
import { processCalls } from './processCalls.js';
import { processMemoryCalls } from './processMemoryCalls.js';
import { readWriteCalls } from './readWriteCalls.js';
import { renameCalls } from './renameCalls.js';
import { schedulingCalls } from './schedulingCalls.js';
import { semaphoreCalls } from './semaphoreCalls.js';
import { shmCalls } from './shmCalls.js';
import { signalCalls } from './signalCalls.js';
import { socketCalls } from './socketCalls.js';
import type { SyscallEntry, SyscallTable } from './syscall.js';
import { systemCalls } from './systemCalls.js';
import { threadCalls } from './threadCalls.js';
import { timeCalls } from './timeCalls.js';

/** The system calls of Linux on RISC-V 64, each topic in a file of its own; a number without an entry gives ENOSYS. */
const topics: readonly SyscallTable[] = [
  attributeCalls,
  capabilityCalls,
  fileCalls,
  futexCalls,
  inotifyCalls,
  limitCalls,
  memoryCalls,
  messageQueueCalls,
  namespaceCalls,
  pathCalls,
  renameCalls,
  pidFdCalls,
  pollCalls,
  posixQueueCalls,
  processCalls,
  readWriteCalls,
  schedulingCalls,
  processMemoryCalls,
  semaphoreCalls,
  shmCalls,
  signalCalls,
  socketCalls,
  systemCalls,
  threadCalls,
  timeCalls,
];

/** Entries by number. */
export const linuxSyscalls: readonly (SyscallEntry | undefined)[] = merge(topics);

function merge(tables: readonly SyscallTable[]): (SyscallEntry | undefined)[] {
  const entries: (SyscallEntry | undefined)[] = new Array(512).fill(undefined);
  for (const table of tables) {
    for (const [number, entry] of Object.entries(table)) {
      if (entries[Number(number)] !== undefined) throw new Error(`system call ${number} is declared twice`);
      entries[Number(number)] = entry;
    }
  }
  return entries;
}
