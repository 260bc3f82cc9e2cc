/**
 * Names of WebAssembly's types for programs that use this package with Node's types alone, which have none of them. Where a
 * browser's types are there too, these are merged with them and add nothing.
 */
/* eslint-disable @typescript-eslint/no-namespace, @typescript-eslint/no-empty-object-type -- types of the platform */
declare global {
  namespace WebAssembly {
    interface Memory {}
    interface Module {}
  }
}

export {};
