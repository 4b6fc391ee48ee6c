export type Inline = { kind: 'text' | 'strong' | 'emphasis' | 'code'; text: string };

export type Block =
  | { kind: 'heading'; level: 1 | 2 | 3; inlines: Inline[] }
  | { kind: 'paragraph'; inlines: Inline[] }
  | { kind: 'list'; ordered: boolean; items: Inline[][] }
  | { kind: 'code'; language: string; text: string };

export const isList = (block: Block): block is Extract<Block, { kind: 'list' }> => block.kind === 'list';
