import { Mood } from './note';
import type { Store } from './store';

export interface Summary {
  readonly words: number;
  readonly moods: Readonly<Record<Mood, number>>;
  readonly busiest: string | undefined;
}

/** Counts words and moods, and finds the tag with the most notes. */
export function summary(store: Store): Summary {
  const moods = { [Mood.Calm]: 0, [Mood.Curious]: 0, [Mood.Alarmed]: 0 };
  let words = 0;
  for (const note of store) {
    moods[note.mood]++;
    words += JSON.stringify(note.body).split(/\W+/u).length;
  }
  const busiest = store
    .tags()
    .map((tag) => ({ tag, count: store.tagged(tag).length }))
    .sort((a, b) => b.count - a.count || (a.tag < b.tag ? -1 : 1))
    .at(0)?.tag;
  return { words, moods, busiest };
}
