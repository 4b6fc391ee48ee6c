import { Note, type NoteInput } from './note';

/** All notes, newest last, with an index by tag. */
export class Store implements Iterable<Note> {
  #notes: Note[] = [];
  #byTag = new Map<string, Set<Note>>();

  get size(): number {
    return this.#notes.length;
  }

  add(input: NoteInput): Note {
    const note = new Note(input);
    this.#notes.push(note);
    for (const tag of note.tags) {
      const set = this.#byTag.get(tag) ?? new Set();
      set.add(note);
      this.#byTag.set(tag, set);
    }
    return note;
  }

  newest(count = Number.POSITIVE_INFINITY): Note[] {
    return this.#notes.slice(-count).reverse();
  }

  tags(): string[] {
    return [...this.#byTag.keys()].sort((a, b) => a.localeCompare(b));
  }

  tagged(tag: string): readonly Note[] {
    return [...(this.#byTag.get(tag) ?? [])];
  }

  *[Symbol.iterator](): Iterator<Note> {
    yield* this.#notes;
  }
}
