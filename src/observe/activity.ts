import { threadOfHost } from '../sync/hosts.js';
import { MODE_GUEST, Thread, TIER_COMPILING, TIER_TRANSLATED, TIER_WAITING } from '../sync/records/thread.js';
import {
  SIDE_EXIT_ELSEWHERE,
  SIDE_EXIT_FLOAT,
  SIDE_EXIT_MISALIGNED,
  SIDE_EXIT_OTHER,
  SIDE_EXIT_PAGE,
  SIDE_EXIT_STALE,
  SIDE_EXIT_SYSTEM_CALL,
  Translation,
} from '../sync/records/translation.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { translationOf } from '../sync/translationQueue.js';

/** Milliseconds of guest threads, summed over them, by what they were doing; sampled. */
export interface TierTimes {
  readonly interpreter: number;
  readonly translated: number;
  readonly kernel: number;
  readonly waiting: number;
  /** Compiling regions that a thread has met; the translator's own time is in MachineMemory.translating. */
  readonly compiling: number;
}

/** How often control came back from regions to the interpreter, by cause. */
export type SideExits = Readonly<Record<keyof typeof CAUSES, number>>;

/** What a machine's guest threads do. */
export interface Activity extends TierTimes {
  readonly sideExits: SideExits;
}

/** The causes of side exits: their numbers, and what they are called. */
const CAUSES = {
  elsewhere: SIDE_EXIT_ELSEWHERE,
  systemCall: SIDE_EXIT_SYSTEM_CALL,
  page: SIDE_EXIT_PAGE,
  misaligned: SIDE_EXIT_MISALIGNED,
  floatingPoint: SIDE_EXIT_FLOAT,
  other: SIDE_EXIT_OTHER,
  stale: SIDE_EXIT_STALE,
} as const;
const CAUSE_NAMES: Readonly<Record<keyof typeof CAUSES, string>> = {
  elsewhere: 'to other code',
  systemCall: 'system calls',
  page: 'pages not there',
  misaligned: 'misaligned accesses',
  floatingPoint: 'floating point',
  other: 'other instructions',
  stale: 'changed code',
};
const causes = Object.keys(CAUSES) as (keyof typeof CAUSES)[];

/** The machine's side exits; they are counted when OBSERVE_EXITS is among what is logged. */
export function sideExits(mem: SharedMemory): SideExits {
  const counters = translationOf(mem) + Translation.sideExits;
  const entries = causes.map((cause) => [cause, mem.getU32(counters + CAUSES[cause] * 4)]);
  return Object.fromEntries(entries) as unknown as SideExits;
}

/** Milliseconds between two looks. */
const INTERVAL = 1;

/**
 * Looks now and then at what each guest thread is doing. The time since the last look counts as spent with what is seen: right in the
 * mean, over seconds.
 */
export class ActivitySampler {
  private readonly spent = { interpreter: 0, translated: 0, kernel: 0, waiting: 0, compiling: 0 };
  private readonly timer: NodeJS.Timeout;
  private last = performance.now();

  /** `hosts` gives the Host records of all workers. */
  constructor(
    private readonly mem: SharedMemory,
    private readonly hosts: () => readonly number[],
  ) {
    this.timer = setInterval(() => this.look(), INTERVAL).unref();
  }

  private look(): void {
    const { mem } = this;
    const now = performance.now();
    const since = now - this.last;
    this.last = now;
    for (const host of this.hosts()) {
      const thread = threadOfHost(mem, host);
      if (thread !== 0) this.spent[doing(mem, thread)] += since;
    }
  }

  /** What has been seen up to now. */
  times(): TierTimes {
    return { ...this.spent };
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

function doing(mem: SharedMemory, thread: number): keyof TierTimes {
  const tier = mem.getU32(thread + Thread.tier);
  if (tier === TIER_COMPILING) return 'compiling';
  if (mem.atomicLoad(thread + Thread.mode) !== MODE_GUEST)
    return tier === TIER_WAITING ? 'waiting' : 'kernel';
  return tier === TIER_TRANSLATED ? 'translated' : 'interpreter';
}

/** The lines of `--stats` about it. */
export function formatActivity(activity: Activity): [string, string][] {
  const parts = ['translated', 'interpreter', 'compiling', 'kernel', 'waiting'] as const;
  const all = parts.reduce((sum, part) => sum + activity[part], 0);
  const share = (time: number): string => (all > 0 ? `${Math.round((time / all) * 100)}%` : '-');
  const times = parts.map((part) => `${part} ${share(activity[part])}`).join(', ');
  const exits = causes
    .filter((cause) => activity.sideExits[cause] > 0)
    .map((cause) => `${activity.sideExits[cause].toLocaleString('en')} ${CAUSE_NAMES[cause]}`);
  return [
    ["threads' time", `${times} (of ${(all / 1000).toFixed(2)} s, sampled)`],
    ['side exits', exits.length === 0 ? 'none' : exits.join(', ')],
  ];
}
