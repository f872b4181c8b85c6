// The values of the API that the page shows. `openapi.json` of the admin interface describes them.

/**
 * @typedef {object} Status
 * @property {"remote" | "origin"} role
 * @property {string} name the origin's name, or the remote's UDP address
 * @property {string} version
 * @property {string} engine
 * @property {string[]} addresses
 * @property {number} age seconds
 * @property {number} last_event the number of the last event
 * @property {number} clients
 * @property {number} max_clients
 * @property {number} unread_bytes
 * @property {boolean} is_draining
 * @property {boolean} is_ready
 * @property {string | null} reason why it is not ready
 */

/**
 * @typedef {object} Service
 * @property {string} name
 * @property {string[]} places
 * @property {string[]} urls
 * @property {string | null} target
 * @property {string[]} origins
 * @property {"up" | "silent" | "refused" | "unhealthy" | "down"} state
 * @property {string | null} reason
 * @property {number} clients
 */

/**
 * One sample of a link.
 * @typedef {object} Sample
 * @property {number} time Unix time in seconds
 * @property {number | null} rtt seconds
 * @property {number} loss fraction of packets, since the sample before
 * @property {boolean} silent
 * @property {number} rate_up bytes per second
 * @property {number} rate_down bytes per second
 */

/** @typedef {"udp" | "websocket"} Path what carries a link's datagrams */

/**
 * @typedef {object} Change
 * @property {number} time Unix time in seconds
 * @property {"silent" | "recovered" | "moved"} kind
 * @property {string | null} from the address before
 * @property {string | null} to the address from then on
 * @property {number | null} seconds how long the peer has been silent
 * @property {Path | null} path what carries the link from then on; null for a silence
 * @property {Path | null} previous_path what carried it before, if it was something else
 * @property {string | null} reason why it was changed, if this end knows it
 */

/**
 * @typedef {object} Link
 * @property {string} id
 * @property {string} origin
 * @property {string | null} token
 * @property {string} agent
 * @property {Path} path
 * @property {string} local
 * @property {string} peer
 * @property {number} age seconds
 * @property {number | null} silent_for seconds
 * @property {number} hold seconds
 * @property {boolean} is_draining
 * @property {string[]} services
 * @property {number} clients
 * @property {number | null} rtt seconds
 * @property {number} congestion_window bytes
 * @property {number} mtu bytes
 * @property {number} bytes_sent
 * @property {number} bytes_received
 * @property {number} packets_sent
 * @property {number} packets_lost
 * @property {number} bytes_lost
 * @property {string | null} path_reason why the link has moved to its path
 * @property {string | null} udp_probe the result of the last probe of UDP
 * @property {Sample[]} history
 * @property {Change[]} changes
 */

/**
 * @typedef {object} Client
 * @property {string} id
 * @property {string | null} address
 * @property {string} service
 * @property {string | null} origin
 * @property {"waiting" | "connecting" | "open" | "closing"} state
 * @property {number} age seconds
 * @property {number} bytes_up from the client to the origin server
 * @property {number} bytes_down
 * @property {number} rate_up bytes per second
 * @property {number} rate_down bytes per second
 */

/**
 * What the page asks for every second.
 * @typedef {object} Overview
 * @property {Status} status
 * @property {Link[]} links
 * @property {{total: number, clients: Client[]}} clients
 */

/**
 * An event of the role. Its other members are the fields of the event.
 * @typedef {Record<string, unknown> & {
 *   number: number, time: string, event: string, level: string, message: string}} RoleEvent
 */

export {};
