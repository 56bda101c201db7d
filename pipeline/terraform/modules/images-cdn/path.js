// Viewer request: /api/v1/images/images/POST/FILE is the object images/POST/FILE below the prefix.
function handler(event) {
  const request = event.request;
  const image = /^\/api\/v1\/images(\/images\/[0-9a-f]{32}\/[^\/]+)$/.exec(request.uri);
  if (!image) {
    return { statusCode: 404, statusDescription: 'Not Found' };
  }
  request.uri = image[1];
  // Nothing of it means anything to the bucket.
  request.querystring = {};
  return request;
}
