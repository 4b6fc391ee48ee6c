import { fireTimers, nextTimerDeadline } from '../kernel/timers.js';
import { answerDoorbell } from '../sync/doorbell.js';
import { queueIsWatched } from '../sync/hosts.js';
import { COORDINATOR } from '../sync/mutex.js';
import { monotonicNow } from '../sync/park.js';
import { RequestKind, takeRequest } from '../sync/ring.js';
import type { SharedMemory } from '../sync/sharedMemory.js';
import { wakeSleepers } from '../sync/sleepers.js';

/** What the coordinator leaves to the machine. */
export interface CoordinatorDuties {
  /** The last thread of the guest is gone. */
  guestEnded(guest: number): void;
  /** `count` more thread hosts are wanted (they are counted already). */
  hostsWanted(count: number): void;
  /** Threads wait for hosts. */
  queueWaits(): void;
  /** The kernel's stream record has room or bytes. */
  streamReady(stream: number): void;
  /** The guests have set the console's mode, want to read it, or have output that did not fit. */
  terminalChanged(): void;
  terminalWanted(): void;
  terminalOutput(): void;
  /** A guest that the embedder started has been stopped. */
  guestStopped(guest: number): void;
  /** The first hot place was found. */
  translatorWanted(): void;
  /** A socket wants something of the host: HostOperation of kernel/sockets. */
  socketWants(socket: number, operation: number, argument: number): void;
}

/** setTimeout's limit: longer timers are looked at again. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;

/**
 * The main thread's part of the machine: it answers the requests that guest threads put into the ring, and keeps the one
 * host timer for all guests' timers. Nothing a running guest waits for goes through here, except timers and pumps.
 */
export class Coordinator {
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  constructor(
    private readonly mem: SharedMemory,
    private readonly duties: CoordinatorDuties,
  ) {}

  /** Answers every request in the ring: the doorbell's handler. */
  answer(): void {
    answerDoorbell(this.mem);
    for (;;) {
      const request = takeRequest(this.mem, COORDINATOR);
      if (request === undefined) {
        if (queueIsWatched(this.mem)) this.duties.queueWaits();
        return;
      }
      switch (request.kind) {
        case RequestKind.GuestEnded:
          this.duties.guestEnded(request.a);
          break;
        case RequestKind.HostsWanted:
          this.duties.hostsWanted(request.a);
          break;
        case RequestKind.TimersChanged:
          this.setTimer(
            Math.min(nextTimerDeadline(this.mem, COORDINATOR), wakeSleepers(this.mem, COORDINATOR)),
          );
          break;
        case RequestKind.StreamReady:
          this.duties.streamReady(request.a);
          break;
        case RequestKind.TerminalChanged:
          this.duties.terminalChanged();
          break;
        case RequestKind.TerminalWanted:
          this.duties.terminalWanted();
          break;
        case RequestKind.TerminalOutput:
          this.duties.terminalOutput();
          break;
        case RequestKind.GuestStopped:
          this.duties.guestStopped(request.a);
          break;
        case RequestKind.TranslatorWanted:
          this.duties.translatorWanted();
          break;
        case RequestKind.Socket:
          this.duties.socketWants(request.a, request.b, request.c);
          break;
      }
    }
  }

  /** Stops the timer; requests are still answered. */
  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private setTimer(deadline: number): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (deadline === Infinity || this.closed) return;
    const milliseconds = Math.min(LONGEST_TIMEOUT, Math.max(0, Math.ceil(deadline - monotonicNow())));
    this.timer = setTimeout(() => {
      const sleepers = wakeSleepers(this.mem, COORDINATOR);
      this.setTimer(Math.min(fireTimers(this.mem, COORDINATOR, monotonicNow()), sleepers));
    }, milliseconds);
    this.timer.unref();
  }
}
