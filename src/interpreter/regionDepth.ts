/** How deep regions call each other before they come back to the interpreter: what the host's stack surely has room for. */
export const REGION_DEPTH = 200;
