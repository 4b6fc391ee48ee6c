import type { Child, Element } from './element';

const VOID = new Set(['br', 'hr', 'img', 'input', 'meta', 'link']);
const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };

export const escape = (text: string): string => text.replace(/[&<>"]/g, (c) => ESCAPES[c]!);

function attributes(element: Element): string {
  return Object.entries(element.properties)
    .filter(([, value]) => value !== false && value != null)
    .map(([name, value]) => (value === true ? ` ${name}` : ` ${name}="${escape(String(value))}"`))
    .join('');
}

/** Serialises a tree of elements as HTML. */
export function render(child: Child): string {
  if (child === null || child === undefined || typeof child === 'boolean') return '';
  if (Array.isArray(child)) return child.map(render).join('');
  if (typeof child !== 'object') return escape(String(child));
  const inner = child.children.map(render).join('');
  if (child.type === '') return inner;
  if (VOID.has(child.type)) return `<${child.type}${attributes(child)}>`;
  return `<${child.type}${attributes(child)}>${inner}</${child.type}>`;
}
