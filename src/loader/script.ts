/** The line that names a script's interpreter. */
export interface ScriptLine {
  /** Path of the interpreter. */
  readonly interpreter: Uint8Array;
  /** The rest of the line as one argument, as Linux passes it, or undefined. */
  readonly argument: Uint8Array | undefined;
}

/** How much of a file Linux looks at for the line (BINPRM_BUF_SIZE). */
export const SCRIPT_HEAD_BYTES = 256;

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x09;

/**
 * The interpreter of a script that starts with `#!` (fs/binfmt_script.c), from the file's first SCRIPT_HEAD_BYTES bytes.
 * Undefined when this is no script, names no interpreter, or the interpreter's name does not end within the head.
 */
export function parseScript(head: Uint8Array): ScriptLine | undefined {
  if (head.length < 2 || head[0] !== 0x23 || head[1] !== 0x21) return undefined;
  const limit = Math.min(head.length, SCRIPT_HEAD_BYTES);
  let end = 2;
  while (end < limit && head[end] !== 0x0a && head[end] !== 0) end++;
  const cut = end === SCRIPT_HEAD_BYTES;
  let from = 2;
  while (from < end && isBlank(head[from])) from++;
  let to = from;
  while (to < end && !isBlank(head[to])) to++;
  if (from === to || (cut && to === end)) return undefined;
  let argumentFrom = to;
  while (argumentFrom < end && isBlank(head[argumentFrom])) argumentFrom++;
  let argumentTo = end;
  while (argumentTo > argumentFrom && isBlank(head[argumentTo - 1])) argumentTo--;
  return {
    interpreter: head.slice(from, to),
    argument: argumentTo > argumentFrom ? head.slice(argumentFrom, argumentTo) : undefined,
  };
}
