/** What a user would see of an error: its code and its one line. */
import { expect } from 'vitest';

/** The operational error that `act` throws or rejects with; fails where there is none, or where it is a bug. */
export async function operationalError(act: () => unknown): Promise<{ code: string; message: string }> {
  let thrown: unknown;
  try {
    await act();
  } catch (error) {
    thrown = error;
  }
  expect(thrown, 'an error is thrown').toBeInstanceOf(Error);
  const error = thrown as Error & { code?: string };
  expect(error.name, error.stack ?? error.message).toBe('OperationalError');
  expect(error.message.split('\n'), 'the message is one line').toHaveLength(1);
  return { code: error.code ?? '', message: error.message };
}
