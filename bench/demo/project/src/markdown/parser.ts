import { type Block, type Inline, isList } from './blocks';

const INLINE = /\*\*(?<strong>[^*]+)\*\*|_(?<emphasis>[^_]+)_|`(?<code>[^`]+)`/gu;

export function parseInlines(text: string): Inline[] {
  const inlines: Inline[] = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    if (match.index > from) inlines.push({ kind: 'text', text: text.slice(from, match.index) });
    const [kind, found] = Object.entries(match.groups!).find(([, value]) => value !== undefined)!;
    inlines.push({ kind: kind as Inline['kind'], text: found! });
    from = match.index + match[0].length;
  }
  if (from < text.length) inlines.push({ kind: 'text', text: text.slice(from) });
  return inlines;
}

/** Parses the little of Markdown that notes are written in. */
export function parseMarkdown(source: string): Block[] {
  const blocks: Block[] = [];
  let fence: { language: string; lines: string[] } | null = null;
  for (const line of source.split('\n')) {
    if (line.startsWith('```')) {
      if (fence) blocks.push({ kind: 'code', language: fence.language, text: fence.lines.join('\n') });
      fence = fence ? null : { language: line.slice(3).trim() || 'text', lines: [] };
      continue;
    }
    if (fence) {
      fence.lines.push(line);
      continue;
    }
    const heading = /^(#{1,3})\s+(.*)$/.exec(line);
    const item = /^(?:[-*]|(\d+)\.)\s+(.*)$/.exec(line);
    const last = blocks.at(-1);
    if (heading) {
      blocks.push({ kind: 'heading', level: heading[1]!.length as 1 | 2 | 3, inlines: parseInlines(heading[2]!) });
    } else if (item) {
      const ordered = item[1] !== undefined;
      const list = last && isList(last) && last.ordered === ordered ? last : undefined;
      if (list) list.items.push(parseInlines(item[2]!));
      else blocks.push({ kind: 'list', ordered, items: [parseInlines(item[2]!)] });
    } else if (line.trim()) {
      blocks.push({ kind: 'paragraph', inlines: parseInlines(line) });
    }
  }
  return blocks;
}
