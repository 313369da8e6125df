import type { Agent, buildConnector } from 'undici';

/** What is needed of undici. */
export interface UndiciParts {
  readonly Agent: typeof Agent;
  readonly buildConnector: typeof buildConnector;
}

/** A CommonJS module, seen from here. */
interface Module<Exported> {
  readonly default: Exported;
}

/**
 * Loads the parts of undici that are needed, or all of it where they cannot be had one by one: with `fetch`, WebSockets, caches and mocks it takes 90 ms, on the main
 * thread and on each worker, and without them 25.
 */
export async function loadUndici(): Promise<UndiciParts> {
  try {
    return await loadParts();
  } catch {
    return await import('undici');
  }
}

/** Exported for the test that these are undici's. @throws Error when its files lie elsewhere */
export async function loadParts(): Promise<UndiciParts> {
  const load = async <Exported>(file: string) => ((await import(`undici/lib/${file}`)) as Module<Exported>).default;
  const [agent, connector] = await Promise.all([
    load<typeof Agent>('dispatcher/agent.js'),
    load<typeof buildConnector>('core/connect.js'),
  ]);
  return { Agent: agent, buildConnector: connector };
}
