import type { Block } from '~/markdown/blocks';

export enum Mood {
  Calm = 'calm',
  Curious = 'curious',
  Alarmed = 'alarmed',
}

export interface NoteInput {
  title: string;
  body: readonly Block[];
  tags: readonly string[];
}

/** A note; its mood is read from its punctuation. */
export class Note {
  static #next = 1;
  readonly id = Note.#next++;
  readonly #created = Date.now();

  constructor(private readonly input: NoteInput) {}

  get title(): string {
    return this.input.title;
  }
  get body(): readonly Block[] {
    return this.input.body;
  }
  get tags(): readonly string[] {
    return this.input.tags ?? [];
  }
  get age(): bigint {
    return BigInt(Date.now() - this.#created) * 1_000n;
  }
  get mood(): Mood {
    const text = JSON.stringify(this.body);
    if (text.includes('!')) return Mood.Alarmed;
    return text.includes('?') ? Mood.Curious : Mood.Calm;
  }
}
