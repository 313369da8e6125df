import { expect, it } from 'vitest';
import { loadParts } from '#src/registry/connection/load-undici.js';

it('the parts of undici are loaded without the rest of it, and are its own', async () => {
  const parts = await loadParts();
  const whole = await import('undici');
  expect(parts.Agent).toBe(whole.Agent);
  expect(parts.buildConnector).toBe(whole.buildConnector);
});
