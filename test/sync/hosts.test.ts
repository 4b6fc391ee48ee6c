import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMachineMemory } from '../../src/memory/machineMemory.js';
import { allocateBlock } from '../../src/sync/heap.js';
import {
  becomeHost,
  closeHosts,
  firstThread,
  forgetHost,
  hostsForQueue,
  initHosts,
  nextThread,
  prepareToLeave,
  queueIsWatched,
  queueWeight,
  registerHost,
  relieveQueue,
  reserveHost,
  startThread,
  stillWanted,
  tellOfStarted,
  threadOfHost,
  threadsWaiting,
  unreserveHost,
} from '../../src/sync/hosts.js';
import { COORDINATOR } from '../../src/sync/mutex.js';
import { parkTicket, parkWithoutHost, unpark, unparkParent } from '../../src/sync/park.js';
import { Host, MACHINE, Machine } from '../../src/sync/records/machine.js';
import { ASLEEP, AWAKE, MODE_GUEST, Thread } from '../../src/sync/records/thread.js';
import { RequestKind, takeRequest } from '../../src/sync/ring.js';
import type { SharedMemory } from '../../src/sync/sharedMemory.js';

let mem: SharedMemory;
let rings: number;
const ring = () => {
  rings++;
};
const newThread = () => allocateBlock(mem, Thread.SIZE, COORDINATOR);
const idle = () => mem.getI32(MACHINE + Machine.idleHostCount);

/** Hosts asked for since the last call. */
function wanted(): number {
  let sum = 0;
  for (let r = takeRequest(mem, COORDINATOR); r !== undefined; r = takeRequest(mem, COORDINATOR)) {
    expect(r.kind).toBe(RequestKind.HostsWanted);
    sum += r.a;
  }
  return sum;
}

/** Parks a host as its worker would, without waiting: it has to be the next one to get a thread. */
function park(host: number): void {
  mem.setU32(host + Host.nextIdle, mem.getU32(MACHINE + Machine.idleHosts));
  mem.setU32(MACHINE + Machine.idleHosts, host);
  mem.setI32(MACHINE + Machine.idleHostCount, idle() + 1);
}

beforeEach(() => {
  mem = createMachineMemory({ bytes: 64 * 1024 * 1024 });
  rings = 0;
});

describe('a thread that is started', () => {
  it('waits for a host when there is none, first come first served', () => {
    initHosts(mem, 10, 1);
    const threads = [newThread(), newThread(), newThread()];
    for (const thread of threads) {
      expect(reserveHost(mem, COORDINATOR)).toBe(true);
      startThread(mem, thread, COORDINATOR, ring);
    }
    // One host is on its way already; a new guest's first thread asks for no spares.
    expect(wanted()).toBe(2);
    expect(rings).toBe(2);
    const host = registerHost(mem, 0);
    expect(nextThread(mem, host, false)).toBe(threads[0]);
    expect(mem.getU32(threads[0] + Thread.host)).toBe(host);
    expect(mem.atomicLoad(host + Host.thread)).toBe(threads[0]);
    expect(nextThread(mem, host, true)).toBe(threads[1]);
    expect(nextThread(mem, registerHost(mem, 1), false)).toBe(threads[2]);
    expect(mem.getI32(MACHINE + Machine.hostsCommitted)).toBe(2);
  });

  it('gets a parked host at once', () => {
    initHosts(mem, 10, 2);
    const first = registerHost(mem, 0);
    const second = registerHost(mem, 1);
    park(first);
    park(second);
    const thread = newThread();
    reserveHost(mem, COORDINATOR);
    startThread(mem, thread, COORDINATOR, ring);
    // It is told to look, and finds the thread unless another host has been faster.
    expect(mem.atomicLoad(second + Host.thread)).not.toBe(0);
    expect(threadOfHost(mem, second)).toBe(0);
    expect(mem.atomicLoad(first + Host.thread)).toBe(0);
    expect(nextThread(mem, second, false)).toBe(thread);
    expect(threadOfHost(mem, second)).toBe(thread);
    expect(idle()).toBe(1);
    expect(wanted()).toBe(0);
  });

  it('by another thread makes spare hosts wanted, up to the limit', () => {
    initHosts(mem, 6, 1);
    const parent = newThread();
    for (let i = 0; i < 4; i++) {
      expect(reserveHost(mem, parent)).toBe(true);
      startThread(mem, newThread(), parent, ring);
    }
    expect(wanted()).toBe(4);
    expect(reserveHost(mem, parent)).toBe(true);
    startThread(mem, newThread(), parent, ring);
    expect(wanted()).toBe(1);
    expect(mem.getI32(MACHINE + Machine.hostCount)).toBe(6);
    expect(reserveHost(mem, parent)).toBe(true);
    expect(reserveHost(mem, parent)).toBe(false);
    unreserveHost(mem, parent);
    expect(reserveHost(mem, parent)).toBe(true);
  });
});

describe('a thread that is woken while it waits without a host', () => {
  let own: number;
  let other: number;
  const waiter = () => {
    const thread = newThread();
    parkWithoutHost(mem, thread, parkTicket(mem, thread));
    return thread;
  };
  /** Wakes it, by a thread of this host; says whether the other host is told. */
  const wakeUp = (thread: number): boolean => {
    mem.setU32(MACHINE + Machine.idleHosts, 0);
    park(other);
    mem.setI32(MACHINE + Machine.watchingHosts, 1);
    mem.atomicStore(other + Host.thread, 0);
    unpark(mem, thread);
    return mem.atomicLoad(other + Host.thread) !== 0;
  };
  beforeEach(() => {
    initHosts(mem, 10, 2);
    own = registerHost(mem, 0);
    other = registerHost(mem, 1);
    becomeHost(own);
    mem.atomicStore(own + Host.thread, newThread());
  });
  afterEach(() => becomeHost(COORDINATOR));

  it('gets another host, until it turns out that its waker waits then', () => {
    for (let i = 0; i < 4; i++) {
      const thread = waiter();
      expect(wakeUp(thread)).toBe(true);
      expect(nextThread(mem, own, false)).toBe(thread);
    }
    const thread = waiter();
    expect(wakeUp(thread)).toBe(false);
    // It goes on, and another host takes the thread.
    mem.atomicStore(MACHINE + Machine.waitingFirst, 0);
    mem.setU32(MACHINE + Machine.waitingLast, 0);
    expect(wakeUp(waiter())).toBe(true);
  });

  it('gets another host when its waker wakes another one', () => {
    for (let i = 0; i < 4; i++) {
      wakeUp(waiter());
      nextThread(mem, own, false);
    }
    expect(wakeUp(waiter())).toBe(false);
    expect(wakeUp(waiter())).toBe(true);
  });
});

describe('hosts that are yet to be started', () => {
  let parent: number;
  let child: number;
  beforeEach(() => {
    initHosts(mem, 10, 1);
    becomeHost(registerHost(mem, 0));
    parent = newThread();
    child = newThread();
    for (let i = 0; i < 2; i++) expect(reserveHost(mem, parent)).toBe(true);
    startThread(mem, child, parent, ring);
  });
  afterEach(() => becomeHost(COORDINATOR));

  it('are wanted when who has started a thread does not come to take it', () => {
    expect(wanted()).toBe(0);
    expect(queueIsWatched(mem)).toBe(true);
    mem.atomicStore(parent + Thread.mode, MODE_GUEST);
    const look = queueWeight(mem);
    expect(look).toBeGreaterThan(0);
    expect(hostsForQueue(mem, look)).toBe(0);
    expect(hostsForQueue(mem, 2 * look)).toBe(1);
    expect(hostsForQueue(mem, 2 * look)).toBe(0);
    expect(mem.getI32(MACHINE + Machine.hostCount)).toBe(2);
  });

  it('are not wanted for threads that wait without one', () => {
    parkWithoutHost(mem, parent, parkTicket(mem, parent));
    expect(hostsForQueue(mem, 100)).toBe(0);
    unpark(mem, parent);
    expect(hostsForQueue(mem, 100)).toBe(1);
  });

  it('are not wanted for a queue that is empty, which is watched as long as it moves', () => {
    const before = mem.atomicLoad(MACHINE + Machine.threadsTaken);
    expect(nextThread(mem, registerHost(mem, 1), false)).toBe(child);
    expect(queueWeight(mem)).toBe(0);
    expect(hostsForQueue(mem, 100)).toBe(0);
    const taken = relieveQueue(mem, before);
    expect(taken).toBe(before + 1);
    expect(queueIsWatched(mem)).toBe(true);
    expect(relieveQueue(mem, before + 1)).toBeUndefined();
    expect(queueIsWatched(mem)).toBe(false);
  });
});

describe('a thread that waits without a host', () => {
  let host: number;
  let thread: number;
  beforeEach(() => {
    initHosts(mem, 10, 2);
    host = registerHost(mem, 0);
    thread = newThread();
    becomeHost(host);
  });
  afterEach(() => becomeHost(COORDINATOR));

  const asleep = () => mem.atomicLoad(MACHINE + Machine.threadsHostless);

  it('is put into the queue by the first who unparks it', () => {
    parkWithoutHost(mem, thread, parkTicket(mem, thread));
    expect(asleep()).toBe(1);
    expect(threadsWaiting(mem)).toBe(false);
    unpark(mem, thread);
    unpark(mem, thread);
    expect(asleep()).toBe(0);
    expect(nextThread(mem, host, false)).toBe(thread);
    expect(threadsWaiting(mem)).toBe(false);
  });

  it('is put there at once when it has been unparked before', () => {
    const ticket = parkTicket(mem, thread);
    unpark(mem, thread);
    parkWithoutHost(mem, thread, ticket);
    expect(asleep()).toBe(0);
    expect(nextThread(mem, host, false)).toBe(thread);
  });

  it('goes on with the host whose thread wakes it as it ends, before those of the queue', () => {
    const other = newThread();
    reserveHost(mem, host);
    startThread(mem, other, host, ring);
    parkWithoutHost(mem, thread, parkTicket(mem, thread));
    prepareToLeave();
    unpark(mem, thread);
    expect(nextThread(mem, host, false)).toBe(thread);
    expect(nextThread(mem, host, true)).toBe(other);
  });

  it('leaves its host to the child that it started to take its place', () => {
    const child = newThread();
    reserveHost(mem, thread);
    startThread(mem, child, thread, ring, 'process', true);
    expect(threadsWaiting(mem)).toBe(false);
    parkWithoutHost(mem, thread, parkTicket(mem, thread));
    expect(nextThread(mem, host, false)).toBe(child);
  });
});

describe('hosts', () => {
  describe('of which one watches', () => {
    let watching: number;
    let own: number;
    beforeEach(() => {
      initHosts(mem, 10, 2);
      watching = registerHost(mem, 0);
      own = registerHost(mem, 1);
      becomeHost(own);
      park(watching);
      mem.setI32(MACHINE + Machine.watchingHosts, 1);
    });
    afterEach(() => becomeHost(COORDINATOR));
    const told = () => mem.atomicLoad(watching + Host.thread) !== 0;
    const start = (kind: 'process' | 'thread') => {
      if (idle() === 0) park(watching);
      mem.atomicStore(watching + Host.thread, 0);
      reserveHost(mem, own);
      startThread(mem, newThread(), own, ring, kind);
    };

    it('are not told of threads whose creators take them themselves', () => {
      for (const kind of ['process', 'thread'] as const) {
        for (let i = 0; i < 3; i++) {
          start(kind);
          expect(told()).toBe(false);
          nextThread(mem, own, false);
        }
      }
    });

    it('are not told of parents that vfork lets go on, until others have taken some of them', () => {
      const release = (): number => {
        if (idle() === 0) park(watching);
        mem.atomicStore(watching + Host.thread, 0);
        const parent = newThread();
        parkWithoutHost(mem, parent, parkTicket(mem, parent));
        unparkParent(mem, parent, newThread());
        return parent;
      };
      for (let i = 0; i < 3; i++) {
        const parent = release();
        expect(told()).toBe(false);
        expect(nextThread(mem, own, false)).toBe(parent);
      }
      for (let i = 0; i < 3; i++) {
        release();
        expect(told()).toBe(false);
        mem.atomicStore(MACHINE + Machine.waitingFirst, 0);
        mem.setU32(MACHINE + Machine.waitingLast, 0);
        tellOfStarted(mem);
      }
      release();
      expect(told()).toBe(true);
    });

    it('are told of them when nobody watches', () => {
      mem.setI32(MACHINE + Machine.watchingHosts, 0);
      start('process');
      expect(told()).toBe(true);
    });

    it('are told of the next ones when others took the last ones', () => {
      start('thread');
      mem.atomicStore(MACHINE + Machine.waitingFirst, 0);
      mem.setU32(MACHINE + Machine.waitingLast, 0);
      start('thread');
      expect(told()).toBe(true);
      nextThread(mem, own, false);
      start('process');
      expect(told()).toBe(false);
    });

    it('take what waits when they are new, unless its starter is on its way to a wait', () => {
      becomeHost(COORDINATOR);
      initHosts(mem, 10, 2);
      const fresh = registerHost(mem, 2);
      mem.setI32(MACHINE + Machine.watchingHosts, 1);
      const starter = newThread();
      const waiting = newThread();
      startThread(mem, waiting, starter, ring, 'process');
      mem.atomicStore(starter + Thread.asleep, ASLEEP);
      expect(firstThread(mem, fresh)).toBe(waiting);
      // Two are more than the starter's own host will take at once.
      mem.atomicStore(starter + Thread.asleep, AWAKE);
      const two = [newThread(), newThread()];
      for (const thread of two) startThread(mem, thread, starter, ring, 'process');
      expect(firstThread(mem, fresh)).toBe(two[0]);
      expect(mem.getU32(fresh + Host.nextIdle)).toBe(0);
      // One is left to it, while others are idle, and taken when it does not come.
      park(watching);
      mem.setI32(MACHINE + Machine.watchingHosts, 0);
      expect(firstThread(mem, fresh)).toBe(two[1]);
      expect(mem.getU32(fresh + Host.nextIdle)).toBe(watching);
    });

    it('that were told of one thread and take an earlier one tell of the later one', () => {
      const third = registerHost(mem, 3);
      mem.setU32(MACHINE + Machine.idleHosts, 0);
      park(third);
      park(watching);
      start('process');
      expect(told()).toBe(false);
      startThread(mem, newThread(), COORDINATOR, ring);
      startThread(mem, newThread(), watching, ring, 'process');
      expect(told()).toBe(true);
      mem.setI32(MACHINE + Machine.watchingHosts, 0);
      mem.atomicStore(third + Host.thread, 0);
      park(third);
      becomeHost(COORDINATOR);
      nextThread(mem, watching, false);
      expect(mem.atomicLoad(third + Host.thread)).not.toBe(0);
    });

    it('are told when another thread is started, or the creator sleeps', () => {
      start('process');
      expect(told()).toBe(false);
      startThread(mem, newThread(), own, ring, 'process');
      expect(told()).toBe(true);
      nextThread(mem, own, false);
      nextThread(mem, own, false);
      start('thread');
      expect(told()).toBe(false);
      tellOfStarted(mem);
      expect(told()).toBe(true);
    });
  });

  it('are not wanted any more when a thread has ended meanwhile', () => {
    initHosts(mem, 10, 1);
    for (let i = 0; i < 2; i++) {
      reserveHost(mem, COORDINATOR);
      startThread(mem, newThread(), COORDINATOR, ring);
    }
    expect(wanted()).toBe(1);
    const host = registerHost(mem, 0);
    nextThread(mem, host, false);
    nextThread(mem, host, true);
    expect(stillWanted(mem, COORDINATOR, 1)).toBe(0);
    expect(mem.getI32(MACHINE + Machine.hostCount)).toBe(1);
    // One that still is:
    reserveHost(mem, COORDINATOR);
    startThread(mem, newThread(), COORDINATOR, ring);
    expect(stillWanted(mem, COORDINATOR, wanted())).toBe(1);
  });

  it('that end are wanted again', () => {
    initHosts(mem, 4, 2);
    reserveHost(mem, COORDINATOR);
    expect(forgetHost(mem, COORDINATOR, true)).toBe(0);
    expect(forgetHost(mem, COORDINATOR, false)).toBe(0);
    expect(mem.getI32(MACHINE + Machine.hostsCommitted)).toBe(0);
    reserveHost(mem, COORDINATOR);
    startThread(mem, newThread(), COORDINATOR, ring);
    expect(wanted()).toBe(1);
    // The host of a thread that waits dies: another one has to come.
    reserveHost(mem, COORDINATOR);
    expect(forgetHost(mem, COORDINATOR, false)).toBe(2);
  });

  it('leave when the machine closes, parked or not', () => {
    initHosts(mem, 4, 2);
    const parked = registerHost(mem, 0);
    park(parked);
    closeHosts(mem, COORDINATOR);
    expect(mem.atomicLoad(parked + Host.thread)).toBe(-1);
    expect(nextThread(mem, registerHost(mem, 1), false)).toBe(0);
  });
});
