/** A terminal that can be resized: what it shows after what was written to it. */

/**
 * Keeps lines as they were written, and breaks them into rows as wide as its window. Lines that go off its top stay here.
 */
export class Terminal {
  #lines: string[][] = [[]];
  #line = 0;
  /** The cursor's cell within its line. */
  #cell = 0;

  /** @param reflows whether it breaks lines that no longer fit into more rows (as most do) or cuts them (as xterm does) */
  constructor(
    public columns: number,
    readonly reflows = true,
  ) {}

  /** What is shown, without blanks at the ends of rows, and empty rows at the end. */
  get screen(): string[] {
    const rows = this.#lines.flatMap((line) => this.#rowsOf(line).map((row) => row.join('').trimEnd()));
    while (rows.at(-1) === '') rows.pop();
    return rows;
  }

  resize(columns: number): void {
    if (!this.reflows) {
      const above = this.#lines.slice(0, this.#line).reduce((sum, line) => sum + this.#rowsOf(line).length, 0);
      const [row, column] = [Math.floor(this.#cell / this.columns), this.#cell % this.columns];
      this.#lines = this.#lines.flatMap((line) => this.#rowsOf(line)).map((cells) => cells.slice(0, columns));
      [this.#line, this.#cell] = [above + row, Math.min(column, columns - 1)];
    }
    this.columns = columns;
  }

  write(output: string): void {
    for (const [token, count = '', command] of output.matchAll(/\x1b\[\??([\d;]*)([A-Za-z])|[^]/g)) {
      if (command !== undefined) this.#control(command, count);
      else if (token === '\r') this.#cell = this.#rowStart;
      else if (token === '\n') this.#down();
      else this.#put(token);
    }
  }

  #control(command: string, count: string): void {
    const line = this.#lines[this.#line] ?? [];
    if (command === 'A') for (let i = 0; i < Number(count || 1); i++) this.#up();
    else if (command === 'G') this.#cell = this.#rowStart;
    else if (command === 'J') {
      line.length = Math.min(line.length, this.#cell);
      this.#lines.length = this.#line + 1;
    } else if (command === 'K') {
      const start = count === '2' ? this.#rowStart : this.#cell;
      const end = this.#rowStart + this.columns;
      if (end >= line.length) line.length = Math.min(line.length, start);
      else line.fill(' ', start, end);
    } else if (!'mhl'.includes(command)) throw new Error(`no such sequence here: ${command}`);
  }

  #put(character: string): void {
    const line = (this.#lines[this.#line] ??= []);
    while (line.length < this.#cell) line.push(' ');
    line[this.#cell++] = character;
  }

  #down(): void {
    const line = this.#lines[this.#line] ?? [];
    if (this.#rowStart + this.columns < line.length) {
      this.#cell += this.columns;
      return;
    }
    this.#cell -= this.#rowStart;
    this.#line++;
    this.#lines[this.#line] ??= [];
  }

  #up(): void {
    if (this.#rowStart > 0) {
      this.#cell -= this.columns;
      return;
    }
    if (this.#line === 0) return;
    this.#line--;
    this.#cell += this.columns * (this.#rowsOf(this.#lines[this.#line] ?? []).length - 1);
  }

  /** The first cell of the cursor's row. */
  get #rowStart(): number {
    return this.#cell - (this.#cell % this.columns);
  }

  #rowsOf(line: readonly string[]): string[][] {
    const count = Math.max(1, Math.ceil(line.length / this.columns));
    return Array.from({ length: count }, (_, row) => line.slice(row * this.columns, (row + 1) * this.columns));
  }
}
