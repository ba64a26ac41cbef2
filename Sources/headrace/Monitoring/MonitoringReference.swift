import Foundation

/// The files below `Monitoring/`, as the program itself says them; a test holds the folder to it.
enum MonitoringReference {
    /// By path below the folder.
    static var files: [(path: String, text: String)] {
        [
            ("prometheus.yml", prometheus), ("rules.yml", AlertRules.yaml()), ("grafana/provisioning/datasources/headrace.yml", source),
            ("grafana/provisioning/dashboards/headrace.yml", provider),
        ] + GrafanaDashboards.all.map { ("grafana/dashboards/\($0.name).json", GrafanaDashboards.json($0)) }
    }

    /// - Throws: when a file cannot be written.
    static func write(into folder: String) throws {
        for file in files {
            let url = URL(filePath: folder).appending(path: file.path)
            try FileManager.default.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try Data(file.text.utf8).write(to: url)
        }
    }

    private static let notice = "# Printed by `headrace reference monitoring`; a test holds this file to the program.\n"

    private static let prometheus = notice + """
        #
        #   prometheus --config.file=prometheus.yml --storage.tsdb.retention.time=15d
        #
        # Fifteen days is what the performance page keeps, too; Prometheus takes it by flag only.
        global:
          scrape_interval: 15s
          evaluation_interval: 15s

        rule_files: [rules.yml]

        scrape_configs:
          - job_name: headrace
            # edge.metrics_path. It answers this machine; from elsewhere it wants edge.metrics_token:
            # authorization: {credentials_file: /etc/prometheus/headrace.token}
            metrics_path: /metrics
            static_configs:
              - targets: ['127.0.0.1:8080']

        # alerting:
        #   alertmanagers:
        #     - static_configs: [{targets: ['127.0.0.1:9093']}]

        """

    private static let source = notice + """
        apiVersion: 1
        datasources:
          - name: Headrace's Prometheus
            uid: \(GrafanaDashboards.sourceName)
            type: prometheus
            access: proxy
            url: http://127.0.0.1:9090
            jsonData: {timeInterval: 15s}

        """

    private static let provider = notice + """
        apiVersion: 1
        providers:
          - name: Headrace
            folder: Headrace
            type: file
            options: {path: /var/lib/grafana/dashboards/headrace}

        """
}
