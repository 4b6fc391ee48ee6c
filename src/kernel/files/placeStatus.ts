import type { ThreadContext } from '../threadContext.js';
import { deviceNumber } from './devices.js';
import { type FileStatus, madeStatus, S_IFDIR, S_IFMT, statusOfHost } from './fileStatus.js';
import { acquireFile } from './filesTable.js';
import { fstatHost } from './hostAccess.js';
import { operationsOf, releaseOpenFile } from './openFile.js';
import type { Place } from './place.js';

/** stat of what is at a place, not following a link there; undefined when nothing is. */
export function statusOfPlace(t: ThreadContext, place: Place): FileStatus | undefined {
  switch (place.kind) {
    case 'host':
      if (place.reopened)
        return statusOfHost(t, fstatHost(Number(place.hostPath.slice('/proc/self/fd/'.length))));
      return place.stats === undefined ? undefined : statusOfHost(t, place.stats);
    case 'made': {
      if (place.node.status !== undefined) return place.node.status(t);
      const [uid, gid] = place.node.owner?.(t) ?? [0, 0];
      return madeStatus({
        dev: place.node.dev,
        ino: place.node.ino,
        mode: place.node.mode,
        uid,
        gid,
        nlink: (place.node.mode & S_IFMT) === S_IFDIR ? 2 : 1,
        rdev: place.node.device === undefined ? 0n : deviceNumber(place.node.device),
      });
    }
    case 'opened': {
      const file = acquireFile(t.mem, t.files, place.fd, t.thread);
      if (file === 0) return undefined;
      try {
        return operationsOf(t.mem, file).status(t, file);
      } finally {
        releaseOpenFile(t.mem, file, t.thread);
      }
    }
    case 'missing':
      return undefined;
  }
}
