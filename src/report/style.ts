/** The page's style sheet. Colours are named once, for light and for dark; each text on its ground keeps to WCAG AA. */

const lightColours = `
    --paper: #fbfbf9;
    --ground: #ffffff;
    --ink: #1b1e23;
    --soft: #575d66;
    --line: #dcddd8;
    --accent: #1f5fa8;
    --quiet: #7391b5;
    --right: 31 95 168;
    --wrong: 196 64 32;
    --ink-filter: invert(1);
    --ink-blend: multiply;`;

const darkColours = `
    --paper: #14161a;
    --ground: #1b1e23;
    --ink: #e9eaec;
    --soft: #a4abb5;
    --line: #33383f;
    --accent: #7fb2f0;
    --quiet: #5c80ad;
    --right: 127 178 240;
    --wrong: 240 120 80;
    --ink-filter: none;
    --ink-blend: screen;`;

/** The colours as custom properties of the page. */
export const colours = `
  :root {
    color-scheme: light dark;${lightColours}
  }
  @media (prefers-color-scheme: dark) {
    :root {${darkColours}
    }
  }
  @media print {
    :root {${lightColours}
    }
  }
`;

export const styleSheet = `${colours}
  * { box-sizing: border-box; margin: 0; }
  html { background: var(--paper); color: var(--ink); -webkit-text-size-adjust: 100%; }
  body {
    max-width: 68rem;
    margin: 0 auto;
    padding: clamp(1.25rem, 4vw, 3rem) clamp(1rem, 4vw, 2.5rem);
    font: 1rem/1.55 -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Noto Sans', Arial, sans-serif;
    overflow-wrap: anywhere;
  }
  h1, h2, h3 { font-weight: 600; line-height: 1.25; text-wrap: balance; }
  h1 { font-size: clamp(1.5rem, 4vw, 2rem); letter-spacing: -0.01em; }
  h2 { font-size: 1.3rem; padding-top: 1rem; border-top: 1px solid var(--line); margin-bottom: 0.75rem; }
  h3 { font-size: 1rem; }
  section { margin-top: 2.75rem; }
  section > p { max-width: 44rem; color: var(--soft); margin-bottom: 1rem; }
  section > h3 { margin: 1.75rem 0 0.5rem; }
  code, pre { font: 0.9em/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, 'Liberation Mono', monospace; }
  dl div { min-width: 0; }
  dt { color: var(--soft); font-size: 0.85rem; }
  dd { font-variant-numeric: tabular-nums; }
  figure, pre, .mistakes li { background: var(--ground); border: 1px solid var(--line); border-radius: 6px; }
  :focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }

  .kicker { color: var(--soft); font-size: 0.8rem; letter-spacing: 0.08em; text-transform: uppercase; }
  .headline { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1.25rem; margin-top: 1.25rem; }
  .headline strong {
    font-size: clamp(2.75rem, 9vw, 4.25rem);
    font-weight: 600;
    line-height: 1.1;
    letter-spacing: -0.025em;
  }
  .headline span { flex: 1 1 16rem; color: var(--soft); }
  .key {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr));
    gap: 0.9rem 1.5rem;
    margin-top: 1.5rem;
  }

  .figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.25rem; }
  figure {
    display: flex;
    flex-direction: column;
    justify-content: space-between;
    min-width: 0;
    padding: clamp(0.75rem, 2vw, 1rem);
  }
  figcaption p { color: var(--soft); font-size: 0.9rem; }
  .plot { width: 100%; height: auto; margin-top: 0.5rem; overflow: visible; color: var(--soft); font-family: inherit; }
  .plot text { white-space: pre; }
  details { margin-top: 1rem; }
  details p { color: var(--soft); font-size: 0.9rem; margin: 0.5rem 0; }
  summary { cursor: pointer; color: var(--accent); width: fit-content; }

  .scroll { overflow-x: auto; }
  table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
  th { font-weight: 600; }
  .numbers :is(th, td) {
    padding: 0.3rem 0.75rem;
    border-top: 1px solid var(--line);
    text-align: right;
    white-space: nowrap;
  }
  .confusion { min-width: 44rem; table-layout: fixed; font-size: 0.95rem; }
  .confusion col { width: 4.75rem; }
  .confusion col.digit { width: auto; }
  .confusion :is(th, td) { padding: 0.4rem 0.3rem; text-align: center; vertical-align: bottom; }
  .confusion [scope='row'] { position: sticky; left: 0; padding-right: 0.6rem; background: var(--paper); text-align: right; }
  .confusion :is(.right, .wrong, .none) { border: 1px solid var(--line); }
  .confusion .right { background: rgb(var(--right) / 0.16); font-weight: 600; }
  .confusion .wrong { background: rgb(var(--wrong) / var(--shade)); }
  .confusion .none { background: var(--ground); color: var(--soft); }
  .confusion tfoot td { font-size: 0.85rem; }

  .mistakes {
    display: grid;
    grid-template-columns: repeat(auto-fill, minmax(max(8.75rem, 20% - 0.6rem), 1fr));
    gap: 0.75rem;
    padding: 0;
    list-style: none;
  }
  .mistakes li { padding: 0.75rem; font-size: 0.85rem; line-height: 1.45; font-variant-numeric: tabular-nums; }
  .mistakes img {
    display: block;
    margin: 0 auto 0.5rem;
    image-rendering: pixelated;
    filter: var(--ink-filter);
    mix-blend-mode: var(--ink-blend);
  }
  .mistakes p { display: grid; grid-template-columns: 3.1rem 1fr auto; color: var(--soft); white-space: nowrap; }
  .mistakes b { color: var(--ink); }

  .record { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr)); gap: 1.5rem 3rem; }
  .record h3 { margin-bottom: 0.4rem; }
  .record dl div {
    display: grid;
    grid-template-columns: 8.5rem 1fr;
    align-items: baseline;
    gap: 1rem;
    padding: 0.3rem 0;
    border-top: 1px solid var(--line);
  }
  pre { padding: 0.75rem 1rem; white-space: pre-wrap; }
  pre code { font-size: 1em; }
  pre code, .hash code { user-select: all; }
  pre + p { margin: 0.75rem 0 0; }
  section > .hash { max-width: none; margin: 0; color: var(--ink); }
  footer {
    margin-top: 3rem;
    padding-top: 1rem;
    border-top: 1px solid var(--line);
    color: var(--soft);
    font-size: 0.85rem;
  }
`;
