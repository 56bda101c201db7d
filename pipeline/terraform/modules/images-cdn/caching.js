// Viewer response: as the service itself answers. CloudFront does not call it for errors of the bucket.
function handler(event) {
  const response = event.response;
  if (response.statusCode === 200 || response.statusCode === 206 || response.statusCode === 304) {
    response.headers['cache-control'] = { value: 'public, max-age=31536000, immutable' };
  }
  return response;
}
