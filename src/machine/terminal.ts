/** Size of the terminal the Node process runs on, in characters. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

/** The terminal's size as stdout or stderr know it; 24 by 80 when they don't. */
export function terminalSize(): TerminalSize {
  const stream = process.stdout.isTTY ? process.stdout : process.stderr;
  return { rows: stream.rows ?? 24, columns: stream.columns ?? 80 };
}
