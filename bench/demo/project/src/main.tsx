import { NotesPage } from '~/views/page';
import { render } from '~/dom/render';
import { h } from '~/dom/element';
import { Store } from '~/model/store';
import { parseMarkdown } from '~/markdown/parser';
import { Level, Logger } from '~/logger';
import seed from './data/seed.json';
import './style.css';

const log = new Logger('main', Level.Info);

/** Fills the store with the notes the page starts with and draws it. */
export async function start(): Promise<string> {
  const store = new Store();
  for (const { title, text, tags } of seed.notes) store.add({ title, body: parseMarkdown(text), tags });
  log.info`${store.size} notes in ${store.tags().length} tags`;
  const { summary } = await import('~/model/summary');
  return render(<NotesPage notes={store.newest(10)} summary={summary(store)} />);
}

start().then((html) => {
  if (typeof document !== 'undefined') document.body.innerHTML = html;
  else console.log(html);
});
