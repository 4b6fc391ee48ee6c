/** Linux error numbers the loader answers with. */
export const ENOENT = 2;
export const E2BIG = 7;
export const ENOEXEC = 8;
export const ENOMEM = 12;
export const EACCES = 13;
export const EINVAL = 22;
export const ELIBBAD = 80;

/**
 * A program that cannot be loaded. `message` is one line without the file's name ("it is a 32-bit program"); `errno` is what
 * execve(2) answers.
 */
export class LoadError extends Error {
  override name = 'LoadError';

  constructor(
    readonly errno: number,
    message: string,
  ) {
    super(message);
  }
}
