/** Texts of files and users in what is printed: one line each, and as a word that a shell takes. */
import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { counted, inWords, shellWord, visible } from '../../src/shared/text.js';

const nasty = ['a b', "it's", '$HOME', '`x`', 'a;b', 'a*', '~x', '!x', 'ä', '', '"', 'a\\b', "\\'"];
const controls = ['a\nb', 'a\x1b[2Jb', "\t'\\\r", '\x7f', '\u009b1A', 'a\u202eb', 'a\u{e0001}b'];

describe('a word of a command line', () => {
  const shells = ['sh', 'bash'].filter((shell) => spawnSync(shell, ['-c', 'exit 0']).status === 0);

  it.each(shells)('is what %s makes of it again', (shell) => {
    // Not every shell knows how to name a control character.
    const words = shell === 'bash' ? [...nasty, ...controls] : nasty;
    for (const word of words) {
      const env = { ...process.env, LC_ALL: 'C' };
      const printed = execFileSync(shell, ['-c', `printf '%s|' ${shellWord(word)}`], { env });
      expect(printed.toString(), word).toBe(`${word}|`);
    }
  });

  it('stays as it is where it can, and is no option', () => {
    for (const word of ['runs/2025-01-02T03-04-05', '/a/b.c', 'a=b,c@d%e+f:g']) expect(shellWord(word)).toBe(word);
    expect(shellWord('-x')).toBe('./-x');
    expect(shellWord('--my run')).toBe("'./--my run'");
    expect(shellWord('C:\\runs\\x')).toBe('"C:\\runs\\x"');
    // What a shell would run is in other quotes.
    expect(shellWord('C:\\a$(x) b')).toBe("'C:\\a$(x) b'");
    expect(shellWord('C:\\my runs')).toBe('"C:\\my runs"');
  });

  it('is one line, and visible', () => {
    for (const word of controls) expect(visible(shellWord(word))).toBe(shellWord(word));
  });
});

describe('a text that is shown', () => {
  it('has no control character left, nor any that turns or breaks lines', () => {
    let all = '';
    for (let code = 0; code < 0x11_0000; code++) if (code < 0xd800 || code > 0xdfff) all += String.fromCodePoint(code);
    expect(visible(all)).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
  });

  it('stays as it is where it is printable, and JSON stays JSON', () => {
    const plain = 'Größe 10 %, 手書き ━━╸ 🙂 \\n';
    expect(visible(plain)).toBe(plain);
    const value = { ['a\nb']: '\x1b\x7f\u009b\u2028\u{e0001}', c: [...controls, ...nasty] };
    expect(JSON.parse(visible(JSON.stringify(value)))).toEqual(value);
  });
});

it('one of a kind is singular', () => {
  expect([0, 1, 2].map((count) => counted(count, 'step'))).toEqual(['0 steps', '1 step', '2 steps']);
});

it('an option that a message names is in words for who gives none, and what is no option stays', () => {
  const message = '`learningRate` is (from `data`): use fewer `workers`, or a smaller `microBatch`; see `lrGamma`.';
  expect(inWords(message)).toBe(
    'learning rate is (from data): use fewer workers, or a smaller micro batch; see lr gamma.',
  );
  expect(inWords("add `override: ['lrStep']`")).toBe('add override lr step');
  for (const text of ['/a/`data`/b', 'not "`data`"', "'`data`'", '`data`/x', '`two words`', '`']) {
    expect(inWords(text)).toBe(text);
  }
});
