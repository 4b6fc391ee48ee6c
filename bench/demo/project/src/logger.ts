export const enum Level {
  Debug,
  Info,
  Warn,
}

/** A logger by tagged templates: log.info`${n} notes`. */
export class Logger {
  constructor(
    readonly name: string,
    public level: Level = Level.Warn,
  ) {}

  debug = this.#at(Level.Debug, 'debug');
  info = this.#at(Level.Info, 'info');
  warn = this.#at(Level.Warn, 'warn');

  #at(level: Level, method: 'debug' | 'info' | 'warn') {
    return (strings: TemplateStringsArray, ...values: unknown[]): void => {
      if (level < this.level) return;
      console[method](`[${this.name}] ${String.raw({ raw: strings }, ...values)}`);
    };
  }
}
