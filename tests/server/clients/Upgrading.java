import java.io.ByteArrayInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublisher;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse.BodyHandlers;

/** Calls a registry with Java's own client, which offers HTTP/2 with each first request. */
class Upgrading {
    public static void main(String[] arguments) throws Exception {
        String api = arguments[0] + "/api/2.0/mlflow/registered-models/create";
        String files = arguments[0] + "/api/2.0/mlflow-artifacts/artifacts/java/";
        byte[] content = new byte[300_000];
        for (int at = 0; at < content.length; at++) {
            content[at] = (byte) at;
        }
        send("POST", api, BodyPublishers.ofString("{\"name\":\"java\"}"));
        send("PUT", files + "length", BodyPublishers.ofByteArray(content));
        send("PUT", files + "chunks", BodyPublishers.ofInputStream(() -> new ByteArrayInputStream(content)));
        send("GET", files + "chunks", BodyPublishers.noBody());
    }

    static void send(String method, String url, BodyPublisher body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(url))
            .header("Content-Type", "application/json")
            .method(method, body)
            .build();
        var answer = HttpClient.newHttpClient().send(request, BodyHandlers.ofByteArray());
        System.out.println(method + " " + answer.statusCode() + " " + answer.body().length);
    }
}
