import { linkSync, unlinkSync } from 'node:fs';
import { createServer } from 'node:net';
import { errnoOfHostCode } from '../kernel/errno.js';

const EEXIST = 17;
const EADDRINUSE = 98;

let made = 0;

/**
 * Makes the inode of a socket at `path` (bytes), where nothing may be yet, and calls `done` with 0 or an errno. Node makes one
 * only by listening, and removes it when that ends: so it listens at another name of the same directory for a moment, and
 * gives the inode its own name meanwhile.
 */
export function makeSocketNode(path: Buffer, done: (errno: number) => void): void {
  const slash = path.lastIndexOf(0x2f);
  const temporary = `${path.subarray(0, slash).toString()}/.guesthouse-${process.pid}-${made++}`;
  const server = createServer();
  server.once('error', (error: NodeJS.ErrnoException) => done(errnoOfHostCode(error.code)));
  server.listen({ path: temporary }, () => {
    let errno = 0;
    try {
      linkSync(temporary, path);
    } catch (error) {
      errno = errnoOfHostCode((error as NodeJS.ErrnoException).code);
    }
    try {
      unlinkSync(temporary);
    } catch {
      // Somebody else was quicker.
    }
    server.close();
    done(errno === EEXIST ? EADDRINUSE : errno);
  });
}
