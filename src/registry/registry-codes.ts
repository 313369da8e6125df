import type { ErrorTable, WarningTable } from '../base/codes/code-table.js';

/** What may go away by itself. From 520 on they are words of CDNs for a registry that did not answer them, or is too busy to. @see RFC 9110, section 15; RFC 6585, section 4, for 429 */
const PASSING_STATUSES: ReadonlySet<number> = new Set([
  408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529, 530,
]);

const mayPass = (status: unknown) => typeof status === 'number' && PASSING_STATUSES.has(status);

/** What a registry answers, or does not. */
export const REGISTRY_ERRORS = {
  ERR_REGISTRY_CONFIG: {
    meaning: 'A file or a program that says how to reach a registry, or with which credentials, cannot be used.',
    whatToDo: 'Correct it: the message names it, and the line where there is one.',
    retryable: false,
  },
  ERR_REGISTRY_UNREACHABLE: {
    meaning: 'A registry did not answer, or not to the end, or too slowly; or a proxy on the way made no connection.',
    whatToDo: 'Check the name, the network and the proxy, and try again.',
    retryable: {
      when: 'no proxy refused it with a status that stays',
      holds: ({ status }) => status === undefined || mayPass(status),
    },
  },
  ERR_REGISTRY_TLS: {
    meaning: 'No secure connection: a certificate is not trusted or not accepted, or the host does not speak TLS.',
    whatToDo: 'Give the authority or the client certificate, or say that the host speaks plain HTTP.',
    retryable: false,
  },
  ERR_REGISTRY_UNAUTHORIZED: {
    meaning: 'A registry wants credentials, or does not accept those that it got.',
    whatToDo: 'Check the name of the repository, and log in.',
    retryable: false,
  },
  ERR_NOT_LOGGED_IN: {
    meaning: 'There are no credentials for a registry where a login would have put them.',
    whatToDo: 'Check the name of the registry, and which file is meant.',
    retryable: false,
  },
  ERR_REGISTRY_DENIED: {
    meaning: 'A registry does not let this account have the image.',
    whatToDo: 'Use an account that may pull it.',
    retryable: false,
  },
  ERR_REGISTRY_BUSY: {
    meaning: 'A registry takes no more requests for now (status 429).',
    whatToDo: 'Try again after `details.retryAfter` seconds, where it says so.',
    retryable: true,
  },
  ERR_REGISTRY_FAILED: {
    meaning: 'A registry answered with something else than what was asked for.',
    whatToDo: 'See the status in the message; try again, or ask who runs it.',
    retryable: {
      when: `\`details.status\` is one that passes (${[...PASSING_STATUSES].join(', ')})`,
      holds: ({ status }) => mayPass(status),
    },
  },
} as const satisfies ErrorTable;

export const REGISTRY_WARNINGS = {
  HOST_PASSED_OVER: {
    meaning: 'A host failed, and another one gave the same bytes.',
    whatToDo: 'Tell whoever runs the host that failed.',
  },
} as const satisfies WarningTable;

declare module '../base/codes/code-tables.js' {
  interface ErrorTables {
    readonly registry: typeof REGISTRY_ERRORS;
  }
  interface WarningTables {
    readonly registry: typeof REGISTRY_WARNINGS;
  }
}
