// Starts the page: which question is asked how often, and which part shows the answer.

import { get } from "./api.js";
import { Clients } from "./clients.js";
import { Connection } from "./connection.js";
import { byId } from "./dom.js";
import { EventList } from "./event_list.js";
import { EventStream } from "./event_stream.js";
import { extend } from "./extension.js";
import { showStatus, showTraffic } from "./header.js";
import { LinkHistories } from "./link_histories.js";
import { Links } from "./links.js";
import { Polling } from "./polling.js";
import { prepareQrDialog } from "./qr_dialog.js";
import { showRefusals } from "./refusals.js";
import { Services } from "./services.js";

/** @typedef {import("./types.js").Overview} Overview */
/** @typedef {import("./types.js").Status} Status */

const RETRY_AFTER = 1000; // milliseconds

const REFUSALS = /^(client-rejected|connect-failed|service-(refused|not-granted)|services-left-out|unknown-service-requested|origin-rejected|proof-failed)$/;
const CHANGES = /^(link|service|services|origin)-/;

const connection = new Connection();

/**
 * @param {string} name
 * @param {number} interval milliseconds
 * @param {() => Promise<void>} ask
 */
function poll(name, interval, ask) {
  return new Polling(interval, ask, (error) => connection.report(name, error));
}

/** Ask for the role until it answers, because the page depends on which one it is. */
async function firstStatus() {
  for (;;) {
    try {
      /** @type {Status} */
      const status = await get("status");
      connection.report("status", null);
      return status;
    } catch (error) {
      connection.report("status", error);
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER));
    }
  }
}

const { role, last_event: last } = await firstStatus();
document.body.dataset.role = role;
prepareQrDialog();

const serviceList = new Services();
const linkList = new Links(role);
const clientList = new Clients(role === "remote", () => polls.overview.askNow());
const eventList = new EventList((excluded) => events.restart(excluded));
const histories = new LinkHistories();

const polls = {
  overview: poll("overview", 1000, async () => {
    const { question } = clientList;
    const query = new URLSearchParams({ since: String(histories.since), ...question });
    /** @type {Overview} */
    const { status, links, clients } = await get(`overview?${query}`);
    histories.complete(links);
    linkList.show(links);
    showTraffic(links);
    showStatus(status, links);
    clientList.show(clients, Number(question.offset));
  }),
  services: poll("services", 2000, async () => {
    const { services } = await get("services");
    serviceList.show(services);
    clientList.offerServices(services);
  }),
  refusals: poll("refusals", 5000, async () => showRefusals((await get("refusals")).refusals)),
};

// Everything appears at once, so that nothing moves while the page loads.
await Promise.all(Object.values(polls).map((each) => each.askNow()));
extend(byId("extension"));
document.body.dataset.loaded = "";

const events = new EventStream((event) => {
  const isNew = event.number > last;
  eventList.add(event, isNew);
  if (!isNew) return;
  if (REFUSALS.test(event.event)) polls.refusals.askNow();
  if (CHANGES.test(event.event)) {
    polls.overview.askNow();
    polls.services.askNow();
  }
});
events.restart(eventList.excluded);
events.run();
