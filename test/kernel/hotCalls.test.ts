import { describe, expect, it } from 'vitest';
import { endThread } from '../../src/kernel/exit.js';
import { createHotCalls, type HotCalls } from '../../src/kernel/hotCalls/hotCalls.js';
import * as SYS from '../../src/kernel/linux/syscallNumbers.js';
import { linuxSystemCall } from '../../src/kernel/linux/systemCall.js';
import type { ThreadContext } from '../../src/kernel/threadContext.js';
import { copyIn, copyOut, readU32, write64, writeU32 } from '../../src/memory/userAccess.js';
import { targetMunmap } from '../../src/mm/targetMunmap.js';
import { Files, Fs } from '../../src/sync/records/files.js';
import { FutexBucket } from '../../src/sync/records/futex.js';
import { Guest } from '../../src/sync/records/guest.js';
import { MACHINE, Machine } from '../../src/sync/records/machine.js';
import { Mm } from '../../src/sync/records/mm.js';
import { Sighand, ThreadSignals } from '../../src/sync/records/signals.js';
import { EXIT_ECALL, EXIT_ENDED, Thread } from '../../src/sync/records/thread.js';
import { enterGuest, leaveGuest } from '../../src/sync/safepoint.js';
import { contextOf, createGuest, createKernel, map } from './kernelGuest.js';

const PAGES = 16;
const PC = 0x4000;

/** A guest whose calls are made by the module where it makes them, or all by the kernel. */
class World {
  readonly t: ThreadContext;
  readonly area: number;
  private readonly hot: HotCalls | undefined;
  /** Calls that the module has made. */
  made = 0;

  constructor(hot: boolean) {
    this.t = createGuest(createKernel());
    this.area = map(this.t, (PAGES + 1) * 4096);
    targetMunmap(this.t, this.area + PAGES * 4096, 4096);
    if (hot) this.hot = createHotCalls(this.t, (wait) => wait());
  }

  /** Makes a call and returns a0, or the EXIT_* with which the thread went. */
  call(number: number, args: readonly (number | bigint)[], t = this.t): bigint | number {
    const { mem, thread } = t;
    const x = (thread + Thread.x) >>> 3;
    for (let i = 0; i < 6; i++) mem.u64[x + 10 + i] = BigInt.asUintN(64, BigInt(args[i] ?? 0));
    mem.u64[x + 17] = BigInt(number);
    mem.set64(thread + Thread.pc, PC);
    enterGuest(mem, thread);
    const exit = this.hot?.systemCall(thread) ?? EXIT_ECALL;
    if (exit === EXIT_ENDED) {
      this.made++;
      return exit;
    }
    leaveGuest(mem, thread);
    if (exit === EXIT_ECALL) linuxSystemCall(t);
    else this.made++;
    t.restart = 0;
    return BigInt.asIntN(64, mem.u64[x + 10]);
  }

  /** What calls change, but for memory. */
  state(): unknown {
    const { mem, thread, signals, guest, mm } = this.t;
    return {
      blocked: mem.u64[(signals + ThreadSignals.blockedLow) >>> 3],
      robust: mem.getU64(thread + Thread.robustList),
      calls: mem.getU32(thread + Thread.syscallCount),
      threads: [mem.getI32(guest + Guest.threadCount), mem.getI32(guest + Guest.threadsStarted)],
      ended: mem.getI32(guest + Guest.threadsEnding),
      endedCalls: mem.getU64(guest + Guest.syscallCount),
      references: [
        mem.getI32(mm + Mm.refs),
        mem.getI32(mm + Mm.threadCount),
        mem.getI32(this.t.files + Files.refs),
        mem.getI32(this.t.fs + Fs.refs),
        mem.getI32(this.t.sighand + Sighand.refs),
      ],
      resident: mem.getI32(mm + Mm.residentPages),
      hosts: mem.getI32(MACHINE + Machine.hostsCommitted),
      lastTid: mem.getU32(MACHINE + Machine.lastTid),
    };
  }

  memory(): Uint8Array {
    const bytes = new Uint8Array(PAGES * 4096);
    copyIn(this.t, this.area, bytes);
    return bytes;
  }

  /** How many threads are counted as waiters in all buckets. */
  waiters(): number {
    const { mem } = this.t;
    let sum = 0;
    for (let i = 0; i < mem.getU32(MACHINE + Machine.futexBucketCount); i++)
      sum += mem.getI32(
        mem.getU32(MACHINE + Machine.futexBuckets) + i * FutexBucket.SIZE + FutexBucket.waiters,
      );
    return sum;
  }
}

/** Numbers below `n`, always the same for a seed. */
function numbers(seed: number): (n: number) => number {
  let x = seed;
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return Math.floor((x / 2 ** 32) * n);
  };
}

/** No word of the guest's memory has this value. */
const NOWHERE = 0x5eed_1234;

function randomCall(below: (n: number) => number, area: number): [number, (number | bigint)[]] {
  const pick = <T>(...of: T[]): T => of[below(of.length)];
  const inside = area + below(PAGES) * 4096 + below(511) * 8;
  const address = () =>
    pick<number | bigint>(
      inside,
      area + below(PAGES * 512) * 8,
      inside,
      0,
      inside + pick(1, 2, 3, 4),
      area + below(PAGES) * 4096 + 4092,
      area + PAGES * 4096,
      area + PAGES * 4096 - pick(4, 8, 16),
      2 ** 40,
      2n ** 63n,
      -8n,
    );
  return pick<() => [number, (number | bigint)[]]>(
    () => [SYS.SYS_rt_sigprocmask, [pick(0, 1, 2, 2, 3, -1), address(), address(), pick(8, 8, 8, 16)]],
    () => [SYS.SYS_set_robust_list, [address(), pick(24, 24, 8)]],
    () => [
      SYS.SYS_madvise,
      [
        pick<number | bigint>(area + below(PAGES + 1) * 4096, address()),
        pick<number | bigint>(0, 1, 4096, below(PAGES * 4096), PAGES * 4096, -4096n, 2n ** 62n),
        4,
      ],
    ],
    () => [
      SYS.SYS_futex,
      [address(), pick(0, 9) + pick(0, 128, 256), NOWHERE, 0, 0, pick<number | bigint>(0, 1, 0xffff_ffffn)],
    ],
    () => [
      SYS.SYS_futex,
      [address(), pick(1, 10) + pick(0, 128, 256), pick(-1, 0, 1, 1000), 0, 0, pick(0, 1, -1)],
    ],
    () => [pick(SYS.SYS_getpid, SYS.SYS_gettid, SYS.SYS_getppid, SYS.SYS_getuid, SYS.SYS_getegid), []],
  )();
}

describe('calls made in WebAssembly', () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8])
    it(`do what the kernel does (seed ${seed})`, () => {
      const worlds = [new World(true), new World(false)];
      expect(worlds[0].area).toBe(worlds[1].area);
      const below = numbers(seed);
      for (let i = 0; i < 1500; i++) {
        if (below(4) === 0) {
          const at = worlds[0].area + below(PAGES * 4096 - 64);
          const bytes = Uint8Array.from({ length: 64 }, () => below(256));
          for (const { t } of worlds) copyOut(t, at, bytes);
        }
        const [number, args] = randomCall(below, worlds[0].area);
        const [hot, cold] = worlds.map((world) => ({
          result: world.call(number, args),
          state: world.state(),
        }));
        expect(hot, `call ${i}: ${number}(${args})`).toEqual(cold);
      }
      expect(worlds[0].memory()).toEqual(worlds[1].memory());
      expect(worlds.map((world) => world.waiters())).toEqual([0, 0]);
      // It is not the kernel that has done it all.
      expect(worlds[0].made).toBeGreaterThan(300);
    });

  it('begin and end threads as the kernel does', () => {
    const worlds = [new World(true), new World(false)];
    const ends = worlds.map((world) => {
      const { t, area } = world;
      const { mem } = t;
      const seen: unknown[] = [];
      for (let round = 0; round < 6; round++) {
        const [parentTid, childTid, head, clone3] = [area, area + 64, area + 4096, area + 8192];
        write64(t, head, head);
        write64(t, head + 16, 0);
        writeU32(t, childTid, 77);
        const [stack, tls] = [area + 12288, area + 16384];
        const args = [0x3d0f00, 0, childTid, parentTid, 0, stack - 4096, 4096, tls, 0, 0, 0];
        args.forEach((value, i) => {
          write64(t, clone3 + i * 8, value);
        });
        const tid =
          round % 2 === 0
            ? world.call(SYS.SYS_clone, [0x3d0f00, stack, parentTid, tls, childTid])
            : world.call(SYS.SYS_clone3, [clone3, 88]);
        const child = mem.getU32(t.guest + Guest.threads);
        expect(Number(tid)).toBe(mem.getU32(child + Thread.tid));
        // No host takes it from the queue.
        expect(mem.getU32(MACHINE + Machine.waitingFirst)).toBe(child);
        mem.setU32(MACHINE + Machine.waitingFirst, 0);
        mem.setU32(MACHINE + Machine.waitingLast, 0);
        const record = mem.u8.slice(child, child + Thread.SIZE);
        // These count what the record went through before, or are set by the host, too.
        for (const field of [Thread.parkWord, Thread.epoch, Thread.hotCalls])
          record.fill(0, field, field + 4);
        seen.push(tid, readU32(t, parentTid), Buffer.from(record).toString('hex'), world.state());

        t.bind(child);
        seen.push(world.call(SYS.SYS_set_robust_list, [head, 24]));
        seen.push(world.call(SYS.SYS_rt_sigprocmask, [2, head, 0, 8]));
        if (world.call(SYS.SYS_exit, [3]) !== EXIT_ENDED) endThread(t);
        t.bind(mem.getU32(t.guest + Guest.threads));
        mem.setI32(MACHINE + Machine.hostsCommitted, mem.getI32(MACHINE + Machine.hostsCommitted) - 1);
        expect(mem.getU32(MACHINE + Machine.freeThreads)).toBe(child);
        seen.push(readU32(t, childTid), world.state());
      }
      return seen;
    });
    expect(ends[0]).toEqual(ends[1]);
    // The first thread's record is new; all else is made in WebAssembly.
    expect(worlds[0].made).toBe(6 * 4 - 1);
  });

  it('are left to the kernel where somebody is told of them', () => {
    const world = new World(true);
    const { mem, thread } = world.t;
    mem.setU32(thread + Thread.hotCalls, 0);
    expect(world.call(SYS.SYS_gettid, [])).toBe(BigInt(world.t.tid));
    expect(world.made).toBe(0);
    expect(contextOf(mem, thread).tid).toBe(world.t.tid);
    expect(mem.getU32(thread + Thread.hotCalls)).toBe(1);
    expect(world.call(SYS.SYS_gettid, [])).toBe(BigInt(world.t.tid));
    expect(world.made).toBe(1);
  });
});
