export type Child = Element | string | number | boolean | null | undefined | Child[];
export type Properties = Record<string, unknown>;
export type Component<P extends Properties = Properties> = (props: P & { children: Child[] }) => Element;

export interface Element {
  readonly type: string;
  readonly properties: Properties;
  readonly children: Child[];
}

/** The JSX factory: components run at once, host elements become data. */
export function h<P extends Properties>(
  type: string | Component<P>,
  properties: P | null,
  ...children: Child[]
): Element {
  if (typeof type === 'function') return type({ ...(properties as P), children });
  return { type, properties: properties ?? {}, children };
}

export const Fragment: Component = ({ children }) => ({ type: '', properties: {}, children });

declare global {
  namespace JSX {
    interface IntrinsicElements {
      [name: string]: Properties;
    }
  }
}
