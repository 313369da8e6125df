import type { Agent, buildConnector, Dispatcher } from 'undici';

/** What is needed of undici. */
export interface UndiciParts {
  readonly Agent: typeof Agent;
  readonly buildConnector: typeof buildConnector;
  readonly request: (
    dispatcher: Dispatcher,
    options: Dispatcher.RequestOptions,
  ) => Promise<Dispatcher.ResponseData<unknown>>;
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
    const undici = await import('undici');
    const { Agent, buildConnector } = undici;
    return { Agent, buildConnector, request: (dispatcher, options) => dispatcher.request(options) };
  }
}

/** Exported for the test that these are undici's. @throws Error when its files lie elsewhere */
export async function loadParts(): Promise<UndiciParts> {
  const load = async <Exported>(file: string) => ((await import(`undici/lib/${file}`)) as Module<Exported>).default;
  const [agent, connector, request] = await Promise.all([
    load<typeof Agent>('dispatcher/agent.js'),
    load<typeof buildConnector>('core/connect.js'),
    load<Dispatcher['request']>('api/api-request.js'),
  ]);
  return {
    Agent: agent,
    buildConnector: connector,
    request: (dispatcher, options) => request.call(dispatcher, options),
  };
}
