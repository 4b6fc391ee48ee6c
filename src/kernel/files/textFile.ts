import { FILE_TEXT, OpenFile } from '../../sync/records/openFile.js';
import { freeText, Text, textLength } from '../../sync/text.js';
import { EBADF, EINVAL } from '../errno.js';
import type { FileOperations } from './fileOperations.js';
import { madeStatus, S_IFREG } from './fileStatus.js';
import { PROCMAP_QUERY, queryMapping } from './mapsQuery.js';
import { namespaceStatus } from './namespaces.js';
import { flagsOf, pathOf, registerKind } from './openFile.js';
import { O_ACCMODE, O_RDONLY, O_WRONLY } from './openFlags.js';
import { locate } from './pathResolution.js';
import { statusOfPlace } from './placeStatus.js';
import { atOffset } from './regularFile.js';

/** Files of /proc and /sys: a text that was made when the file was opened. */
const textOperations: FileOperations = {
  read(t, file, into, offset) {
    const { mem } = t;
    if ((flagsOf(mem, file) & O_ACCMODE) === O_WRONLY) return -EBADF;
    const text = mem.getU32(file + OpenFile.object);
    return atOffset(t, file, offset, (position, moveTo) => {
      const length = textLength(mem, text);
      const count = Math.max(0, Math.min(into.length, length - position));
      if (count === 0) return 0;
      const from = text + Text.SIZE + position;
      const done = into.copyOut(t, 0, mem.u8.slice(from, from + count));
      moveTo(position + done);
      return done;
    });
  },
  write(t, file, from) {
    if ((flagsOf(t.mem, file) & O_ACCMODE) === O_RDONLY) return -EBADF;
    const place = locate(t, pathOf(t.mem, file));
    if (place.kind !== 'made' || place.node.store === undefined) return -EINVAL;
    const bytes = Buffer.alloc(Math.min(from.length, 4096));
    const had = from.copyIn(t, 0, bytes);
    return place.node.store(t, bytes.toString('latin1', 0, had));
  },
  seek(t, file, offset, whence) {
    return atOffset(t, file, undefined, (position, moveTo) => {
      const base =
        whence === 0
          ? 0
          : whence === 1
            ? position
            : whence === 2
              ? textLength(t.mem, t.mem.getU32(file + OpenFile.object))
              : Number.NaN;
      const target = base + offset;
      if (!(target >= 0)) return -EINVAL;
      moveTo(target);
      return target;
    });
  },
  status(t, file) {
    const namespace = namespaceStatus(pathOf(t.mem, file));
    if (namespace !== undefined) return namespace;
    const place = locate(t, pathOf(t.mem, file));
    const status = statusOfPlace(t, place);
    // The process that the file told of is gone.
    return status ?? madeStatus({ dev: 0x15n, ino: 1n, mode: S_IFREG | 0o444 });
  },
  ioctl(t, file, request, argument) {
    const maps = /^\/proc\/(\d+)\/(?:task\/\d+\/)?maps$/.exec(pathOf(t.mem, file));
    if (maps === null || (request | 0) !== PROCMAP_QUERY) return undefined;
    return queryMapping(t, Number(maps[1]), argument);
  },
  release(mem, file, owner) {
    freeText(mem, mem.getU32(file + OpenFile.object), owner);
  },
};

registerKind(FILE_TEXT, textOperations);
