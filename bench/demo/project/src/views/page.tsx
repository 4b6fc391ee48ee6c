import { type Child, Fragment, h } from '~/dom/element';
import type { Block, Inline } from '~/markdown/blocks';
import type { Note } from '~/model/note';
import type { Summary } from '~/model/summary';

const TAGS = { text: 'span', strong: 'strong', emphasis: 'em', code: 'code' } as const satisfies Record<
  Inline['kind'],
  string
>;

const inline = ({ kind, text }: Inline): Child => (kind === 'text' ? text : h(TAGS[kind], null, text));

function block(block: Block): Child {
  switch (block.kind) {
    case 'heading':
      return h(`h${block.level + 1}`, null, ...block.inlines.map(inline));
    case 'paragraph':
      return <p>{block.inlines.map(inline)}</p>;
    case 'list':
      return h(block.ordered ? 'ol' : 'ul', null, ...block.items.map((item) => <li>{item.map(inline)}</li>));
    case 'code':
      return (
        <pre class={`language-${block.language}`}>
          <code>{block.text}</code>
        </pre>
      );
    default: {
      const never: never = block;
      throw new TypeError(`unknown block ${never}`);
    }
  }
}

const Article = ({ note }: { note: Note }) => (
  <article id={`note-${note.id}`} class={note.mood} data-tags={note.tags.join(' ') || undefined}>
    <h1>{note.title}</h1>
    {note.body.map(block)}
  </article>
);

export const NotesPage = ({ notes, summary }: { notes: readonly Note[]; summary: Summary }) => (
  <>
    <main>
      {notes.map((note) => (
        <Article note={note} />
      ))}
    </main>
    <footer>
      {notes.length} notes, {summary.words} words{summary.busiest && `, mostly about ${summary.busiest}`}
    </footer>
  </>
);
