import type { SyscallEntry } from '../kernel/linux/syscall.js';
import type { ThreadContext } from '../kernel/threadContext.js';
import type { Caller } from '../memory/caller.js';
import { pageDump } from '../mm/pageDump.js';
import { writeLog } from './log.js';
import { formatResult } from './strace.js';

/** `-d page`: the memory map in the log, each report in one piece. */

/** A call that may change the map has ended: the call as strace.traceCall shows it, and, unless it failed, the map. */
export function logPageCall(t: ThreadContext, entry: SyscallEntry, traced: string, result: number): void {
  const call = `${traced} = ${formatResult(entry, result)}\n`;
  writeLog(t.mem, result < 0 ? call : call + layout(t, entry.name));
}

/** The map after `what`, as QEMU's log_page_dump prints it. KERNEL mode. */
export function logPageLayout(c: Caller, what: string): void {
  writeLog(c.mem, layout(c, what));
}

function layout(c: Caller, what: string): string {
  return `page layout changed following ${what}\n${pageDump(c)}`;
}
