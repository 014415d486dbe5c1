// @azure/storage-queue as it comes: sends an order as plain text, takes its result and an event, which cloudevents reads.
// Environment: STORAGE, ORDER (a JSON text), KEY, WAIT_S.
import { QueueServiceClient } from "@azure/storage-queue";
import { CloudEvent } from "cloudevents";

const { STORAGE, ORDER, KEY, WAIT_S } = process.env;
const service = QueueServiceClient.fromConnectionString(STORAGE);
const deadline = Date.now() + Number(WAIT_S) * 1000;

async function take(name, wanted) {
  const queue = service.getQueueClient(name);
  while (Date.now() < deadline) {
    const { receivedMessageItems } = await queue.receiveMessages({ numberOfMessages: 32, visibilityTimeout: 5 });
    for (const item of receivedMessageItems) {
      const found = JSON.parse(Buffer.from(item.messageText, "base64").toString("utf8"));
      if (wanted(found)) {
        await queue.deleteMessage(item.messageId, item.popReceipt);
        return found;
      }
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  throw new Error(`nothing in ${name}`);
}

await service.getQueueClient("sales-orders").sendMessage(ORDER);
const result = await take("sales-order-results", (one) => one.orderKey === KEY);
const events = await take("bc-events", () => true);
const read = (Array.isArray(events) ? events : [events]).map((one) => new CloudEvent(one));
console.log(JSON.stringify({
  result, valid: read.every((one) => one.validate()), types: [...new Set(read.map((one) => one.type))], ids: read.map((one) => one.id),
}));
